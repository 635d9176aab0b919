"""Pooling of features: average each window of pixels, or turn its pixels into channels."""

from __future__ import annotations

from keras import ops

from keras_pdecnn.ops import exact


def average_pool(y, size: int):
    """Average over windows of `size` pixels along every space axis; pixels that are left over at the end are dropped.

    An axis that is shorter than the window keeps one entry, the average of its pixels. A model for inputs of any size
    therefore gives the same result for a small image, whether its size is known before the call or only during it.

    Args:
        y: Tensor of shape (batch, *space, channels).
        size: Number of pixels of a window along each space axis.

    Returns:
        Tensor of shape (batch, *(space // size), channels).

    Example:
        >>> average_pool(keras.ops.ones((1, 8, 9, 3)), size=2).shape
        TensorShape([1, 4, 4, 3])
    """
    if size == 1:
        return y
    space = y.shape[1:-1]
    if len(space) < 3 and all(length is not None and length >= size for length in space):
        return ops.average_pool(y, size, strides=size, padding="valid", data_format="channels_last")
    # TensorFlow pools three axes only in few types, and refuses an axis that is too short.
    for axis in range(1, len(y.shape) - 1):
        y = _average_axis(y, size, axis)
    return y


def _average_axis(y, size: int, axis: int):
    """Average over windows along one axis, of known or unknown length."""
    shape = ops.shape(y)
    length = shape[axis]
    # The window has at least one pixel, so that an axis without entries stays one.
    known = isinstance(length, int)
    window = max(1, min(length, size)) if known else ops.maximum(1, ops.minimum(length, size))
    count = length // window
    y = y[(slice(None),) * axis + (slice(0, count * window),)]
    return exact.mean(ops.reshape(y, (*shape[:axis], count, window, *shape[axis + 1 :])), axis=axis + 1)


def space_to_depth(y, size: int):
    """Turn the pixels of windows of `size` pixels along every space axis into channels.

    Pixels that are left over at the end are dropped. An axis that is shorter than the window is padded with zeros.

    Args:
        y: Tensor of shape (batch, *space, channels).
        size: Number of pixels of a window along each space axis.

    Returns:
        Tensor of shape (batch, *(space // size), size^rank channels), where rank is the number of space axes.

    Example:
        >>> space_to_depth(keras.ops.ones((1, 8, 9, 3)), size=2).shape
        TensorShape([1, 4, 4, 12])
    """
    if size == 1:
        return y
    rank, channels = len(y.shape) - 2, y.shape[-1]
    for axis in range(1, rank + 1):
        length = ops.shape(y)[axis]
        known = isinstance(length, int)
        missing = max(size - length, 0) if known else ops.maximum(size - length, 0)
        if not known or missing:
            y = ops.pad(y, [(0, missing if i == axis else 0) for i in range(rank + 2)])
        count = length // size if known and not missing else (length + missing) // size
        y = y[(slice(None),) * axis + (slice(0, count * size),)]
    batch, *space = ops.shape(y)[:-1]
    y = ops.reshape(y, (batch, *(n for length in space for n in (length // size, size)), channels))
    y = ops.transpose(y, (0, *range(1, 2 * rank, 2), *range(2, 2 * rank + 1, 2), 2 * rank + 1))
    return ops.reshape(y, (batch, *(length // size for length in space), size**rank * channels))
