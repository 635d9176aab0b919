"""Random changes of signals in time and in volume, as pure functions of TensorFlow's stateless random numbers."""

from __future__ import annotations

import tensorflow as tf

from keras_pdecnn.data import draws


def roll(x: tf.Tensor, key: tf.Tensor | draws.Key, largest: int) -> tf.Tensor:
    """Return signals shifted in time at random; what leaves at one end enters at the other.

    Args:
        x: Tensor of shape `(batch, length, channels)`.
        key: Integer tensor of shape `(2,)`, or a `draws.Key` of some of the examples of a batch.
        largest: Largest shift in samples, in either direction.
    """
    batch, length = tf.shape(x)[0], x.shape[1]
    shift = draws.integers(draws.key_of(key, "roll"), (batch, 1), 2 * largest + 1) - largest
    index = (tf.range(length, dtype=tf.int64)[tf.newaxis] + shift) % length
    return tf.gather(x, index, batch_dims=1)


def amplify_and_add_noise(x: tf.Tensor, key: tf.Tensor | draws.Key, gain: float, noise: float) -> tf.Tensor:
    """Return examples made louder or softer at random, with white noise.

    Args:
        x: Tensor of shape `(batch, *space, channels)`.
        key: Integer tensor of shape `(2,)`, or a `draws.Key` of some of the examples of a batch.
        gain: Range of the volume: the factor lies between exp(-gain) and exp(gain).
        noise: Largest standard deviation of the noise, as a fraction of the standard deviation of the example.
    """
    shape, each = tf.shape(x), (tf.shape(x)[0], *[1] * (len(x.shape) - 1))
    result = tf.cast(x, tf.float32)
    if noise:
        level = noise * draws.fractions(draws.key_of(key, "level"), each)
        level *= tf.math.reduce_std(result, axis=list(range(1, len(x.shape))), keepdims=True)
        result += level * draws.normal(draws.key_of(key, "noise"), shape)
    if gain:
        result *= tf.exp(gain * (2 * draws.fractions(draws.key_of(key, "gain"), each) - 1))
    return draws.to_type(result, x.dtype)
