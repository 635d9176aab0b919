"""The kinds of examples that have a recipe of their own, recognised by the shape of the arrays of a file."""

from __future__ import annotations

import os

LONG = 1000
"""Number of samples from which on a signal is long: its features then need more than a few blocks to shrink."""

SMALL = range(20, 41)
"""Sides of images that are small, but large enough for the features to be halved three times."""


def kind_of(source: str) -> str | None:
    """Return the kind of the examples in an .npz file; only the header of the array is read.

    Whatever is wrong with a file is for `data.load` to say.

    Args:
        source: Any source of `data.load`.

    Returns:
        "speech" for signals of at least `LONG` samples, of shape (n, length, channels) with fewer channels than
        samples, or (n, length) with an entry `layout` for the missing axis. "gray" for images of shape (n, height,
        width, 1) whose sides are in `SMALL`. "moving_digits" for video or volumes of shape (n, frames, height, width,
        channels). None for everything else.

    Example:
        >>> kind_of("digits") is None
        True
    """
    shape = _shape(source)
    if len(shape) in (2, 3) and shape[1] >= LONG and (len(shape) == 2 or shape[2] < shape[1]):
        return "speech"
    if len(shape) == 4 and shape[3] == 1 and all(side in SMALL for side in shape[1:3]):
        return "gray"
    return "moving_digits" if len(shape) == 5 else None


def _shape(source: str) -> tuple[int, ...]:
    """Return the shape of the training examples of an .npz file, or () if they cannot be read."""
    if not source.endswith(".npz"):
        return ()
    from keras_pdecnn.utils import archives

    try:
        with archives.open_archive(os.path.expanduser(source)) as archive:
            return archives.read_headers(archive)["x_train"][0]
    except Exception:  # a missing or damaged file raises a dozen types
        return ()
