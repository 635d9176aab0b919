"""Mixing of pairs of examples and of their labels, as pure functions of TensorFlow's stateless random numbers.

`keras.layers.MixUp` and `keras.layers.CutMix` draw from a state that parallel calls advance in any order, so that a
resumed run would see other batches; and they mix images alone.
"""

from __future__ import annotations

import math

import tensorflow as tf

from keras_pdecnn.data import draws
from keras_pdecnn.data.masks import interval


def mix(
    x: tf.Tensor, y: tf.Tensor, key: tf.Tensor | draws.Key, mixup: float, cutmix: float
) -> tuple[tf.Tensor, tf.Tensor]:
    """Return examples mixed with their neighbours in the batch, and the labels in the same shares.

    If both ways are asked for, each example is mixed in one of them, with equal probability.

    Args:
        x: Tensor of shape `(batch, *space, channels)`.
        y: Probabilities of the classes, of shape `(batch, classes)`.
        key: Integer tensor of shape `(2,)`, or a `draws.Key` of some of the examples of a batch.
        mixup: Parameter of the distribution of the share, Beta(mixup, mixup); 0 for no sums of examples.
        cutmix: Parameter of the distribution of the share, Beta(cutmix, cutmix); 0 for no windows.
    """
    mixed, share = _sum(x, key, mixup) if mixup else _paste(x, key, cutmix)
    if mixup and cutmix:
        pasted, own = _paste(x, key, cutmix)
        is_sum = draws.integers(draws.key_of(key, "way"), (tf.shape(x)[0],), 2) == 0
        mixed = tf.where(tf.reshape(is_sum, (-1, *[1] * (len(x.shape) - 1))), mixed, pasted)
        share = tf.where(is_sum, share, own)
    share = share[:, tf.newaxis]
    return mixed, share * y + (1 - share) * tf.roll(y, 1, 0)


def _sum(x, key, alpha):
    """Return weighted means of neighbours, and the weight of the first of each pair."""
    share = _beta(draws.key_of(key, "mixup"), tf.shape(x)[0], alpha)
    weight = tf.reshape(share, (-1, *[1] * (len(x.shape) - 1)))
    first, second = tf.cast(x, tf.float32), tf.cast(tf.roll(x, 1, 0), tf.float32)
    return draws.to_type(weight * first + (1 - weight) * second, x.dtype), share


def _paste(x, key, alpha):
    """Return examples with a window of their neighbours, and the share of the example that is its own."""
    batch, space = tf.shape(x)[0], x.shape[1:-1]
    share_key, *keys = draws.split(draws.key_of(key, "cutmix"), 1 + len(space))
    side = (1 - _beta(share_key, batch, alpha)) ** (1 / len(space))
    inside, volume = tf.ones((batch, *[1] * len(space), 1), tf.bool), tf.ones((batch,), tf.int64)
    for axis, size in enumerate(space):
        width = tf.cast(tf.round(side * size), tf.int64)
        start = tf.cast(draws.fractions(keys[axis], (batch,)) * tf.cast(size - width + 1, tf.float32), tf.int64)
        inside &= interval(len(space), axis, size, start, width)
        volume *= width
    share = 1 - tf.cast(volume, tf.float32) / math.prod(space)
    return tf.where(inside, tf.roll(x, 1, 0), x), share


def _beta(key, batch, alpha):
    """Return draws from Beta(alpha, alpha), as a ratio of draws from two gamma distributions."""
    first, second = (draws.gamma(part, (batch,), alpha) for part in draws.split(key, 2))
    return tf.math.divide_no_nan(first, first + second)
