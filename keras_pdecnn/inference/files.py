"""Finding the files to predict."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

from keras_pdecnn.data import images, video

_SUFFIXES = (*images.SUFFIXES, ".wav", ".npz")


def find(paths: Iterable, videos: bool = False) -> Iterator[str]:
    """Yield the files to predict: each path, or for a folder the images, sounds and arrays in it, in order of names.

    Names in a folder that start with a point are left out, as in data sets, and links to folders are followed. A folder
    without such files, or one that cannot be read, is yielded in place of its files; `read_examples` then reports it as
    unreadable.

    Args:
        paths: Paths of files and folders.
        videos: Whether video files of a folder are among them, for a network of video; default False.
    """
    suffixes = (*_SUFFIXES, *video.SUFFIXES) if videos else _SUFFIXES
    for path in map(os.fspath, paths):
        if not os.path.isdir(path):
            yield path
            continue
        is_empty = True
        unreadable: list[OSError] = []
        seen: set[str] = set()  # a link may lead back
        for folder, names, files in os.walk(path, onerror=unreadable.append, followlinks=True):
            real = os.path.realpath(folder)
            if real in seen:
                names.clear()
                continue
            seen.add(real)
            names[:] = sorted(name for name in names if not name.startswith("."))
            for file in sorted(files):
                if not file.startswith(".") and file.lower().endswith(suffixes):
                    is_empty = False
                    yield os.path.join(folder, file)
        yield from (error.filename for error in unreadable)
        if is_empty and not unreadable:
            yield path
