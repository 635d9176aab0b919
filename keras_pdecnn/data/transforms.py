"""Random changes of the examples of a batch, as pure functions of TensorFlow's stateless random numbers."""

from __future__ import annotations

import math

import tensorflow as tf

from keras_pdecnn.data import draws


def mirror_and_shift(x: tf.Tensor, key: tf.Tensor | draws.Key, flip: bool, margin: tuple[int, ...]) -> tf.Tensor:
    """Return the examples mirrored along the last space axis, and shifted along all of them, at random.

    Args:
        x: Tensor of shape `(batch, *space, channels)`; all axes but the first have a static size.
        key: Integer tensor of shape `(2,)`, or a `draws.Key` of some of the examples of a batch.
        flip: Whether to mirror with probability 1/2.
        margin: Number of zeros on each side of every space axis, of which a shift takes up to as many.
    """
    *space, channels = x.shape[1:]
    batch = tf.shape(x, tf.int64)[0]
    keys = draws.split(key, 1 + len(space))
    if any(margin):
        x = tf.pad(x, [(0, 0), *zip(margin, margin, strict=True), (0, 0)])
    # Cropping and mirroring are one lookup: the position in the padded batch of each pixel of the result.
    index = tf.range(batch)
    for axis, (size, zeros) in enumerate(zip(space, margin, strict=True)):
        here = tf.range(size, dtype=tf.int64)[tf.newaxis]
        if flip and axis == len(space) - 1:
            mirrored = draws.integers(keys[0], (batch, 1), 2) == 1
            here = tf.where(mirrored, size - 1 - here, here)
        if zeros:
            here += draws.integers(keys[1 + axis], (batch, 1), 2 * zeros + 1)
        here = tf.reshape(here, (-1, *[1] * axis, size))
        index = index[..., tf.newaxis] * (size + 2 * zeros) + here
    return tf.gather(tf.reshape(x, (-1, channels)), index)


def rotate_and_zoom(
    x: tf.Tensor, key: tf.Tensor | draws.Key, rotate: float, zoom: float, nearest: bool = False
) -> tf.Tensor:
    """Return images rotated and zoomed about their centre at random.

    Args:
        x: Tensor of shape `(batch, height, width, channels)`.
        key: Integer tensor of shape `(2,)`, or a `draws.Key` of some of the examples of a batch.
        rotate: Largest angle in degrees.
        zoom: Range of the zoom: the factor lies between exp(-zoom) and exp(zoom).
        nearest: Whether a pixel takes the value of the nearest one; default False, it is interpolated.
    """
    # Mirroring and shifting use at most four seeds; these are others.
    keys = draws.split(key, 8)[-2:]
    batch = tf.shape(x)[0]
    angle = draws.between(keys[0], (batch,), rotate * math.pi / 180)
    factor = tf.exp(draws.between(keys[1], (batch,), zoom))
    cos, sin, zero = factor * tf.cos(angle), factor * tf.sin(angle), tf.zeros_like(angle)
    result = project(tf.cast(x, tf.float32), (cos, -sin, sin, cos), (zero, zero), nearest)
    return tf.cast(tf.round(result) if x.dtype.is_integer else result, x.dtype)


def project(x: tf.Tensor, matrix: tuple, shift: tuple, nearest: bool = False) -> tf.Tensor:
    """Return images read at other places: column and row from the centre are multiplied by a matrix and shifted.

    The interpolation is bilinear, with zeros beyond the border.

    Args:
        x: float32 tensor of shape `(batch, height, width, channels)`.
        matrix: Entries of the matrices, row by row, each of shape `(batch,)`; the first row gives columns.
        shift: Shifts of column and row in pixels, each of shape `(batch,)`.
        nearest: Whether the nearest pixel is read; default False.
    """
    (xx, xy, yx, yy), (shift_x, shift_y) = matrix, shift
    height, width = x.shape[1:3]
    column, row = (width - 1) / 2, (height - 1) / 2
    first_column = column - xx * column - xy * row + shift_x
    first_row = row - yx * column - yy * row + shift_y
    zero = tf.zeros_like(xx)
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=x,
        transforms=tf.stack([xx, xy, first_column, yx, yy, first_row, zero, zero], -1),
        output_shape=[height, width],
        fill_value=0.0,
        interpolation="NEAREST" if nearest else "BILINEAR",
        fill_mode="CONSTANT",
    )


def cut(x: tf.Tensor, key: tf.Tensor | draws.Key, sizes: tuple[int, ...]) -> tf.Tensor:
    """Return a patch of each example, at a random place.

    Args:
        x: Tensor of shape `(batch, *space, channels)`; all axes but the first have a static size.
        key: Integer tensor of shape `(2,)`, or a `draws.Key` of some of the examples of a batch.
        sizes: Sizes of the space axes of the patches.
    """
    *space, channels = x.shape[1:]
    batch = tf.shape(x, tf.int64)[0]
    keys = draws.split(draws.key_of(key, "patch"), len(space))
    index = tf.range(batch)
    for axis, (size, kept) in enumerate(zip(space, sizes, strict=True)):
        here = tf.range(kept, dtype=tf.int64)[tf.newaxis]
        here += draws.integers(keys[axis], (batch, 1), size - kept + 1)
        index = index[..., tf.newaxis] * size + tf.reshape(here, (-1, *[1] * axis, kept))
    return tf.gather(tf.reshape(x, (-1, channels)), index)
