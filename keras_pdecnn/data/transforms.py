"""Random changes of the examples of a batch, as pure functions of TensorFlow's stateless random numbers."""

from __future__ import annotations

import math

import tensorflow as tf


def mirror_and_shift(x: tf.Tensor, key: tf.Tensor, flip: bool, margin: tuple[int, ...]) -> tf.Tensor:
    """Return the examples mirrored along the last space axis, and shifted along all of them, at random.

    Args:
        x: Tensor of shape `(batch, *space, channels)`; all axes but the first have a static size.
        key: Integer tensor of shape `(2,)`.
        flip: Whether to mirror with probability 1/2.
        margin: Number of zeros on each side of every space axis, of which a shift takes up to as many.
    """
    *space, channels = x.shape[1:]
    batch = tf.shape(x, tf.int64)[0]
    keys = tf.random.experimental.stateless_split(key, 1 + len(space), alg="philox")
    if any(margin):
        x = tf.pad(x, [(0, 0), *zip(margin, margin, strict=True), (0, 0)])
    # Cropping and mirroring are one lookup: the position in the padded batch of each pixel of the result.
    index = tf.range(batch)
    for axis, (size, zeros) in enumerate(zip(space, margin, strict=True)):
        here = tf.range(size, dtype=tf.int64)[tf.newaxis]
        if flip and axis == len(space) - 1:
            mirrored = _uniform((batch, 1), keys[0], 2) == 1
            here = tf.where(mirrored, size - 1 - here, here)
        if zeros:
            here += _uniform((batch, 1), keys[1 + axis], 2 * zeros + 1)
        here = tf.reshape(here, (-1, *[1] * axis, size))
        index = index[..., tf.newaxis] * (size + 2 * zeros) + here
    return tf.gather(tf.reshape(x, (-1, channels)), index)


def rotate_and_zoom(x: tf.Tensor, key: tf.Tensor, rotate: float, zoom: float) -> tf.Tensor:
    """Return images rotated and zoomed about their centre at random.

    Args:
        x: Tensor of shape `(batch, height, width, channels)`.
        key: Integer tensor of shape `(2,)`.
        rotate: Largest angle in degrees.
        zoom: Range of the zoom: the factor lies between exp(-zoom) and exp(zoom).
    """
    # Mirroring and shifting use at most four seeds; these are others.
    keys = tf.random.experimental.stateless_split(key, 8, alg="philox")[-2:]
    batch, (height, width) = tf.shape(x)[0], x.shape[1:3]
    angle = _between((batch,), keys[0], rotate * math.pi / 180)
    factor = tf.exp(_between((batch,), keys[1], zoom))
    cos, sin, zero = factor * tf.cos(angle), factor * tf.sin(angle), tf.zeros_like(angle)
    # The column and row from which a pixel of the result is read; the centre stays fixed.
    column, row = (width - 1) / 2, (height - 1) / 2
    shift_column = column - cos * column + sin * row
    shift_row = row - sin * column - cos * row
    result = tf.raw_ops.ImageProjectiveTransformV3(
        images=tf.cast(x, tf.float32),
        transforms=tf.stack([cos, -sin, shift_column, sin, cos, shift_row, zero, zero], -1),
        output_shape=[height, width],
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="CONSTANT",
    )
    return tf.cast(tf.round(result) if x.dtype.is_integer else result, x.dtype)


def _uniform(shape, key, count):
    return tf.random.stateless_uniform(shape, key, 0, count, tf.int64, alg="philox")


def _between(shape, key, bound):
    return tf.random.stateless_uniform(shape, key, -bound, bound, alg="philox")
