"""Random covering of parts of the examples, as pure functions of TensorFlow's stateless random numbers."""

from __future__ import annotations

import math

import tensorflow as tf

from keras_pdecnn.data import draws


def cover_window(x: tf.Tensor, key: tf.Tensor | draws.Key, fraction: float) -> tf.Tensor:
    """Return examples in each of which a window at a random place has the mean of the example, channel by channel.

    Args:
        x: Tensor of shape `(batch, *space, channels)`.
        key: Integer tensor of shape `(2,)`, or a `draws.Key` of some of the examples of a batch.
        fraction: Length of each side of the window as a fraction of that of the example.
    """
    batch, space = tf.shape(x)[0], x.shape[1:-1]
    keys = draws.split(draws.key_of(key, "window"), len(space))
    inside = tf.ones((batch, *[1] * len(space), 1), tf.bool)
    for axis, size in enumerate(space):
        width = max(1, math.floor(fraction * size + 0.5))
        inside &= interval(len(space), axis, size, draws.integers(keys[axis], (batch,), size - width + 1), width)
    return _cover(x, inside)


def cover_band(x: tf.Tensor, key: tf.Tensor | draws.Key, axis: int, fraction: float) -> tf.Tensor:
    """Return examples in each of which a band across one space axis has the mean of the example.

    Args:
        x: Tensor of shape `(batch, *space, channels)`.
        key: Integer tensor of shape `(2,)`, or a `draws.Key` of some of the examples of a batch.
        axis: Number of the space axis, counted from 0.
        fraction: Largest width of the band as a fraction of the size of the axis.
    """
    batch, space = tf.shape(x)[0], x.shape[1:-1]
    keys = draws.split(draws.key_of(key, "band"), 4)[2 * axis :]
    width = draws.integers(keys[0], (batch,), math.floor(fraction * space[axis]) + 1)
    room = tf.cast(space[axis] - width + 1, tf.float32)
    start = tf.cast(draws.fractions(keys[1], (batch,)) * room, tf.int64)
    return _cover(x, interval(len(space), axis, space[axis], start, width))


def interval(rank: int, axis: int, size: int, start, width) -> tf.Tensor:
    """Return where a coordinate lies in [start, start + width), of shape `(batch, 1, …, size, …, 1)`.

    Args:
        rank: Number of space axes.
        axis: Number of the axis of the coordinate, counted from 0.
        size: Size of this axis.
        start: Integer tensor of shape `(batch,)`.
        width: Integer, or integer tensor of shape `(batch,)`.
    """
    position = tf.range(size, dtype=tf.int64)[tf.newaxis]
    first = start[:, tf.newaxis]
    last = (start + width)[:, tf.newaxis]
    shape = [-1, *[1] * rank, 1]
    shape[1 + axis] = size
    return tf.reshape((position >= first) & (position < last), shape)


def _cover(x: tf.Tensor, inside: tf.Tensor) -> tf.Tensor:
    mean = tf.reduce_mean(tf.cast(x, tf.float32), axis=list(range(1, len(x.shape) - 1)), keepdims=True)
    return tf.where(inside, draws.to_type(mean, x.dtype), x)
