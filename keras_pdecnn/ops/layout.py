"""Conversion between data formats: all computations have the channels last, but users may have them first."""

from __future__ import annotations

import keras
from keras import ops

from keras_pdecnn.utils import arguments

DATA_FORMATS = ("channels_last", "channels_first")


def standardize_data_format(value: str | None) -> str:
    """Return a data format, and for None the one of Keras's configuration.

    Args:
        value: Data format, "channels_last", "channels_first" or None.

    Raises:
        ValueError: If the value is none of these.

    Example:
        >>> standardize_data_format(None)
        'channels_last'
    """
    value = keras.config.image_data_format() if value is None else value
    return arguments.check_choice("data_format", value, DATA_FORMATS)


def feature_axes(data_format: str) -> str:
    """Return the axes of a batch of features in words, for messages: "(batch, *space, channels)"."""
    return "(batch, channels, *space)" if data_format == "channels_first" else "(batch, *space, channels)"


def channel_axis(data_format: str) -> int:
    """Return the index of the channel axis."""
    return 1 if data_format == "channels_first" else -1


def to_channels_last(y, data_format: str):
    """Return features with the channels last.

    Args:
        y: Tensor of shape (batch, *space, channels), or (batch, channels, *space) if the channels are first.
        data_format: Format of y, "channels_last" or "channels_first".

    Returns:
        Tensor of shape (batch, *space, channels).

    Example:
        >>> to_channels_last(keras.ops.ones((1, 3, 8, 9)), "channels_first").shape
        TensorShape([1, 8, 9, 3])
    """
    return ops.moveaxis(y, 1, -1) if data_format == "channels_first" else y


def from_channels_last(y, data_format: str):
    """Convert features with the channels last to a data format: the inverse of `to_channels_last`.

    Args:
        y: Tensor of shape (batch, *space, channels).
        data_format: Format of the result, "channels_last" or "channels_first".

    Returns:
        Tensor of shape (batch, *space, channels), or (batch, channels, *space) if the channels are first.

    Example:
        >>> from_channels_last(keras.ops.ones((1, 8, 9, 3)), "channels_first").shape
        TensorShape([1, 3, 8, 9])
    """
    return ops.moveaxis(y, -1, 1) if data_format == "channels_first" else y


def shape_to_channels_last(shape, data_format: str) -> tuple:
    """Return the shape of the result of `to_channels_last` for features of a given shape."""
    shape = tuple(shape)
    return (shape[0], *shape[2:], shape[1]) if data_format == "channels_first" and len(shape) > 1 else shape


def shape_from_channels_last(shape, data_format: str) -> tuple:
    """Return the shape of the result of `from_channels_last` for features of a given shape."""
    shape = tuple(shape)
    return (shape[0], shape[-1], *shape[1:-1]) if data_format == "channels_first" and len(shape) > 1 else shape
