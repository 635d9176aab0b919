"""Whether a data set holds long signals, such as sound, which have a recipe of their own."""

from __future__ import annotations

import os

LONG = 1000
"""Number of samples from which on a signal is long: its features then need more than a few blocks to shrink."""


def holds_long_signals(source: str) -> bool:
    """Return whether an .npz file holds signals of at least `LONG` samples; only the header of the array is read.

    Signals have the shape (n, length, channels), or (n, length) with an entry `layout` for the missing axis, and fewer
    channels than samples. Whatever else is wrong with a file is for `data.load` to say.

    Args:
        source: Any source of `data.load`.

    Example:
        >>> holds_long_signals("digits")
        False
    """
    if not source.endswith(".npz"):
        return False
    from keras_pdecnn.utils import archives

    try:
        with archives.open_archive(os.path.expanduser(source)) as archive:
            shape = archives.read_headers(archive)["x_train"][0]
    except Exception:  # a missing or damaged file raises a dozen types
        return False
    return len(shape) in (2, 3) and shape[1] >= LONG and (len(shape) == 2 or shape[2] < shape[1])
