"""RandAugment: a few random changes of geometry and colour of each image.

After Cubuk et al., *RandAugment: Practical automated data augmentation with a reduced search space*, 2020. Each image
draws its own changes. `keras.layers.RandAugment` draws one list for the whole batch, from a state that parallel calls
advance in any order, so that a resumed run would see other batches.
"""

from __future__ import annotations

import math

import tensorflow as tf

from keras_pdecnn.data import draws
from keras_pdecnn.data.transforms import project


def rand_augment(x: tf.Tensor, key: tf.Tensor | draws.Key, count: int, magnitude: float) -> tf.Tensor:
    """Return images changed at random.

    The strength s of a change is uniform in [-magnitude, magnitude]. Colours are numbers between 0 and 1 for the least
    and the largest number of an image.

    Args:
        x: Tensor of shape `(batch, height, width, channels)`.
        key: Integer tensor of shape `(2,)`, or a `draws.Key` of some of the examples of a batch.
        count: Number of changes of each image.
        magnitude: Largest strength, in [0, 1).
    """
    batch, axes = tf.shape(x)[0], (1, 2, 3)
    result = tf.cast(x, tf.float32)
    low, high = (reduce(result, axis=axes, keepdims=True) for reduce in (tf.reduce_min, tf.reduce_max))
    colours = tf.math.divide_no_nan(result - low, high - low)
    keys = draws.split(draws.key_of(key, "rand_augment"), 2 * count)
    for index in range(count):
        change = draws.integers(keys[2 * index], (batch, 1, 1, 1), len(_GEOMETRY) + len(_COLOUR))
        strength = magnitude * (2 * draws.fractions(keys[2 * index + 1], (batch, 1, 1, 1)) - 1)
        changed = _move(colours, change, strength)
        for number, recolour in enumerate(_COLOUR, start=len(_GEOMETRY)):
            changed = tf.where(change == number, recolour(colours, strength), changed)
        colours = tf.clip_by_value(changed, 0.0, 1.0)
    return draws.to_type(low + colours * (high - low), x.dtype)


def _move(x, change, strength):
    """Return images rotated, sheared or shifted if their change says so."""
    height, width = x.shape[1:3]
    s, change = strength[:, 0, 0, 0], change[:, 0, 0, 0]
    rotation, shear_x, shear_y, shift_x, shift_y = (tf.where(change == n, s, 0.0) for n in range(len(_GEOMETRY)))
    angle = rotation * math.pi / 2
    matrix = tf.cos(angle), shear_x - tf.sin(angle), shear_y + tf.sin(angle), tf.cos(angle)
    return project(x, matrix, (shift_x * width, shift_y * height))


def _brightness(x, s):
    return x + s


def _contrast(x, s):
    return x + s * (x - tf.reduce_mean(x, axis=(1, 2, 3), keepdims=True))


def _saturation(x, s):
    return x + s * (x - tf.reduce_mean(x, axis=-1, keepdims=True))


def _sharpness(x, s):
    return x + 3 * s * (x - tf.nn.avg_pool2d(x, 3, 1, "SAME"))


def _solarize(x, s):
    return tf.where(x > 1 - tf.abs(s), 1 - x, x)


def _posterize(x, s):
    levels = tf.round(2.0 ** (8 - 7 * tf.abs(s)))
    return tf.minimum(tf.floor(x * levels), levels - 1) / (levels - 1)


_GEOMETRY = ("rotation", "shear_x", "shear_y", "shift_x", "shift_y")
_COLOUR = (_brightness, _contrast, _saturation, _sharpness, _solarize, _posterize)
