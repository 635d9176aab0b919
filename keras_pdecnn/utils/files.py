"""Files: whether a path exists, and writing so that an interruption leaves the old content or the new one."""

from __future__ import annotations

import os
import pathlib


def check_exists(what: str, path, received: str = "Received: "):
    """Raise ValueError if there is nothing at a path.

    Args:
        what: What the path is of, as the beginning of the message: "The run folder".
        path: The path; a leading ~ is the home folder.
        received: Beginning of the end of the message; default "Received: ", which the path follows.

    Raises:
        ValueError: If the path does not exist.
    """
    if not os.path.exists(os.path.expanduser(path)):
        raise ValueError(f"{what} does not exist. {received}{os.fspath(path)!r}")


def is_path(source: str) -> bool:
    """Return whether a source of data is written as a path, and cannot be the name of a TensorFlow data set.

    Those names may hold slashes, as in "name/config", so a path is what ends in .npz or .csv or starts with /, ~ or a
    point.
    """
    return source.lower().endswith((".npz", ".csv")) or source.startswith((".", "~", os.sep))


def is_missing(source: str) -> bool:
    """Return whether a source of data is written as a path at which there is nothing."""
    return is_path(source) and not os.path.exists(os.path.expanduser(source))


def replace(path: pathlib.Path, content: bytes):
    """Write a file as a whole: at every moment, even if the machine crashes, the old content or the new one is there.

    Raises:
        OSError: If the file cannot be written; the old content is then still there.
    """
    part = path.with_name(path.name + ".part")
    try:
        with open(part, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError:
        part.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
