"""Refining of features: repeat each pixel, or turn channels into the pixels of a window."""

from __future__ import annotations

from keras import ops


def repeat_pixels(y, factor: int):
    """Repeat every pixel `factor` times along every space axis.

    Divided by `factor` to the power of the number of space axes, this is the adjoint of `average_pool`; the average of
    the repeated pixels is the pixel.

    Args:
        y: Tensor of shape (batch, *space, channels).
        factor: Number of pixels in place of one along each space axis.

    Returns:
        Tensor of shape (batch, *(factor * space), channels).

    Example:
        >>> repeat_pixels(keras.ops.ones((1, 4, 5, 3)), factor=2).shape
        TensorShape([1, 8, 10, 3])
    """
    if factor == 1:
        return y
    for axis in range(1, len(y.shape) - 1):
        shape = ops.shape(y)
        y = ops.stack([y] * factor, axis=axis + 1)
        y = ops.reshape(y, (*shape[:axis], shape[axis] * factor, *shape[axis + 1 :]))
    return y


def depth_to_space(y, size: int):
    """Turn channels into the pixels of windows: the inverse of `space_to_depth`, which keeps the length of y.

    Args:
        y: Tensor of shape (batch, *space, channels), where size^rank divides the number of channels.
        size: Number of pixels of a window along each space axis.

    Returns:
        Tensor of shape (batch, *(size * space), channels / size^rank), where rank is the number of space axes.

    Example:
        >>> depth_to_space(keras.ops.ones((1, 4, 5, 12)), size=2).shape
        TensorShape([1, 8, 10, 3])
    """
    if size == 1:
        return y
    rank = len(y.shape) - 2
    # One axis after the other, so that no tensor has many axes.
    for axis in range(1, rank + 1):
        rest = y.shape[-1] // size
        batch, *space = ops.shape(y)[:-1]
        y = ops.reshape(y, (batch, *space, size, rest))
        order = list(range(rank + 3))
        order.insert(axis + 1, order.pop(rank + 1))
        y = ops.transpose(y, order)
        space[axis - 1] = space[axis - 1] * size
        y = ops.reshape(y, (batch, *space, rest))
    return y
