"""The kinds of examples that have a recipe of their own, recognised by the shape of arrays or by the names of files."""

from __future__ import annotations

import os

from keras_pdecnn.utils.layouts import LAYOUTS

LONG = 1000
"""Number of samples from which on a signal is long: its features then need more than a few blocks to shrink."""

_SOUND = ".wav"

SMALL = range(20, 41)
"""Sides of images that are small, but large enough for the features to be halved three times."""


def kind_of(source: str) -> str | None:
    """Return the kind of the examples in an .npz file or a folder; only the header of the array is read, and no file.

    Whatever is wrong with a file is for `data.load` to say.

    Args:
        source: Any source of `data.load`.

    Returns:
        "speech" for signals of at least `LONG` samples, of shape (n, length, channels) with fewer channels than
        samples, and for folders of .wav files. "gray" for images of shape (n, height, width, 1) whose sides are in
        `SMALL`. "moving_digits" for video or volumes of shape (n, frames, height, width, channels). None for everything
        else. An entry `layout` of the file adds a missing axis of channels.

    Example:
        >>> kind_of("digits") is None
        True
    """
    if _holds_sounds(source):
        return "speech"
    shape = _shape(source)
    if len(shape) in (2, 3) and shape[1] >= LONG and (len(shape) == 2 or shape[2] < shape[1]):
        return "speech"
    if len(shape) == 4 and shape[3] == 1 and all(side in SMALL for side in shape[1:3]):
        return "gray"
    return "moving_digits" if len(shape) == 5 else None


def _holds_sounds(source: str) -> bool:
    """Return whether a folder, or that of a table of labels, holds .wav files, by the first folder that holds any."""
    path = os.path.expanduser(source)
    return bool(_are_sounds(os.path.dirname(path) or "." if path.lower().endswith(".csv") else path))


def _are_sounds(path: str, depth: int = 2) -> bool | None:
    """Return whether the files in a folder are sounds, or those in the first folder inside that has any; None if none.

    Args:
        path: Path of the folder.
        depth: Number of levels of folders inside that are looked into; default 2, those of a part and of its classes.
    """
    try:
        names = sorted(name for name in os.listdir(path) if not name.startswith("."))
    except OSError:
        return None
    if any(name.lower().endswith(_SOUND) for name in names):
        return True
    folders = [inner for name in names if os.path.isdir(inner := os.path.join(path, name))] if depth else []
    for folder in folders:
        if (found := _are_sounds(folder, depth - 1)) is not None:
            return found
    return False if len(names) > len(folders) else None


def _shape(source: str) -> tuple[int, ...]:
    """Return the shape of the examples of an .npz file, with their channels; () if they cannot be read."""
    if not source.lower().endswith(".npz"):
        return ()
    from keras_pdecnn.utils import archives

    try:
        with archives.open_archive(os.path.expanduser(source)) as archive:
            headers = archives.read_headers(archive)
            shape = headers["x_train" if "x_train" in headers else "x"][0]
            layout = str(archives.read_array(archive, "layout")) if "layout" in headers else ""
    except Exception:  # a missing or damaged file raises a dozen types
        return ()
    return (*shape, 1) if len(shape) == LAYOUTS.get(layout, 0) + 1 else shape
