"""The split of a tensor into two halves: checks and shapes."""

from __future__ import annotations

import numbers

import keras


def check_axis(axis) -> int:
    """Return the axis of a split if it is an integer other than 0, the batch."""
    if isinstance(axis, bool) or not isinstance(axis, numbers.Integral) or axis == 0:
        raise ValueError(f"split_axis must be an integer other than 0, the batch. Received: split_axis={axis!r}")
    return int(axis)


def split_spec(name: str, shape: tuple, axis: int) -> keras.layers.InputSpec:
    """Return the specification of inputs that can be split, or refuse a shape.

    Args:
        name: Name of the layer for messages.
        shape: Shape of the input.
        axis: Axis of the split.

    Raises:
        ValueError: If there is no such axis, or its size is odd or unknown.
    """
    rank = len(shape)
    if not -rank < axis < rank:
        raise ValueError(
            f"{name} splits an axis of the input other than the batch. Received: split_axis={axis}, input_shape={shape}"
        )
    if not shape[axis] or shape[axis] % 2:
        raise ValueError(
            f"{name} splits axis {axis} of the input into two halves, so its size must be known and even. "
            f"Received: input_shape={shape}"
        )
    return keras.layers.InputSpec(ndim=rank, axes={axis % rank: shape[axis]})


def half_shape(shape: tuple, axis: int) -> tuple:
    """Return the shape of a half."""
    half = list(shape)
    half[axis] //= 2
    return tuple(half)
