"""The place of the channels at both ends of a network, all of whose layers have them last."""

from __future__ import annotations

import keras


def channels_last(y, data_format: str, dtype: str):
    """Return features with the channels last, as all layers of a network have them."""
    if data_format == "channels_last":
        return y
    rank = len(y.shape) - 2
    return keras.layers.Permute((*range(2, rank + 2), 1), dtype=dtype, name="channels_last")(y)


def from_channels_last(y, data_format: str):
    """Return feature maps in the format of the input."""
    if data_format == "channels_last":
        return y
    rank = len(y.shape) - 2
    return keras.layers.Permute((rank + 1, *range(1, rank + 1)), name="channels_first")(y)
