"""Files whose parts are read at any place, and that must not change meanwhile."""

from __future__ import annotations

import os
import weakref

from keras_pdecnn.data.calls import ReadError


def stamp(path: str | os.PathLike) -> tuple[int, int]:
    """Return (size, time of the last change) of a file, by which a change is noticed."""
    return _of(os.stat(path))


def check_unchanged(path: str, expected: tuple[int, int], status: os.stat_result | None = None):
    """Raise a ReadError if a file is not what it was when its stamp was taken, or is gone.

    Args:
        path: Path of the file.
        expected: Its stamp at that time.
        status: Status of the file if it is open; default None, that of the path.
    """
    try:
        now = stamp(path) if status is None else _of(status)
    except OSError as error:
        raise _unreadable(path, error) from error
    if now != expected:
        raise ReadError(f"A file of the data set has changed since the data set was loaded. Received: {path!r}")


class OpenFile:
    """A file that is open as long as this object lives; another file that takes its name changes nothing.

    Args:
        path: Path of the file.
    """

    def __init__(self, path: str):
        self.path = path
        try:
            self._descriptor = os.open(path, os.O_RDONLY)
        except OSError as error:
            raise _unreadable(path, error) from error
        weakref.finalize(self, os.close, self._descriptor)
        self._stamp = _of(os.fstat(self._descriptor))

    def check(self):
        """Raise a ReadError if the file has been written to since it was opened."""
        check_unchanged(self.path, self._stamp, os.fstat(self._descriptor))

    def read(self, start: int, count: int) -> bytes:
        """Return so many bytes from a place of the file; raise a ReadError if there are fewer."""
        try:
            content = os.pread(self._descriptor, count, start)
        except OSError as error:
            raise _unreadable(self.path, error) from error
        if len(content) < count:
            raise ReadError(f"A file of the data set is shorter than it was. Received: {self.path!r}")
        return content


def _unreadable(path: str, error: OSError) -> ReadError:
    return ReadError(f"A file of the data set cannot be read ({error.strerror}). Received: {path!r}")


def _of(status: os.stat_result) -> tuple[int, int]:
    return status.st_size, status.st_mtime_ns
