"""Arrays that may lack the axis of their channels."""

from __future__ import annotations

from keras_pdecnn.utils.layouts import LAYOUTS

_MOST_CHANNELS = 4  # of an image: grey or RGB, with or without transparency


def check_channels(shape: tuple[int, ...], received: str, hint: str = ""):
    """Raise ValueError if examples of this shape, `(n, *space, channels)`, probably lack the axis of the channels.

    Args:
        shape: Shape of the examples.
        received: Beginning of the end of the message, which the shape follows.
        hint: What users can do besides adding the axis, a format string with the names `one` and `other` of the two
            layouts; default "", nothing.
    """
    if len(shape) in (3, 4) and len(set(shape[1:])) == 1 and shape[-1] > _MOST_CHANNELS:
        one, other = list(LAYOUTS)[len(shape) - 3 : len(shape) - 1]
        raise ValueError(
            f"These may be {other} without an axis for the channel, or {one} with {shape[-1]} channels. Add the axis, "
            f"x[..., None]{hint.format(one=one, other=other)}. {received} {shape}"
        )
