"""Writing files so that an interruption leaves the old content or the new one."""

from __future__ import annotations

import os
import pathlib


def replace(path: pathlib.Path, content: bytes):
    """Write a file in one go: at every moment, also after a crash of the machine, it is as before or complete.

    Raises:
        OSError: If it cannot be written; the file is then as before.
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
