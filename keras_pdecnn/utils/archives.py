"""Reading zip archives that may be damaged or hostile: sizes are taken from headers, checksums are verified."""

from __future__ import annotations

import math
import os
import stat
import zipfile

import numpy as np

_TYPES = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # what NumPy and Keras write; others may need much memory
_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
_LONGEST_HEADER = 2**16
_CHUNK = 2**20


def open_archive(path) -> zipfile.ZipFile:
    """Open a zip archive for reading.

    Raises:
        ValueError: If it is no file, or has two members of one name or in another compression than deflation.
        Exception: Of a dozen types, if it is damaged.
    """
    check_file(path)
    archive = zipfile.ZipFile(path)
    try:
        names = archive.namelist()
        if len(set(names)) < len(names):
            raise ValueError("two members have the same name")
        for member in archive.infolist():
            if member.compress_type not in _TYPES:
                raise ValueError(f"{member.filename} is compressed in a way that is not supported")
    except Exception:
        archive.close()
        raise
    return archive


def check_file(path):
    """Raise ValueError if there is no regular file at the path: a pipe or a device could be read without end."""
    try:
        mode = os.stat(path).st_mode
    except OSError as error:
        raise ValueError(error.strerror) from error
    if not stat.S_ISREG(mode):
        raise ValueError("it is not a regular file")


def verify(archive: zipfile.ZipFile, limits: dict[str, int]):
    """Read every member once, a piece at a time, so that its checksum is verified; nothing is kept.

    Args:
        archive: Archive.
        limits: Largest size of each member that may occur, in bytes.

    Raises:
        ValueError: If there is another member, or one that declares to be larger.
        Exception: Of several types, if a member is damaged.
    """
    for member in archive.infolist():
        if member.filename not in limits:
            raise ValueError(f"it has an unexpected member {member.filename!r}")
        if member.file_size > limits[member.filename]:
            raise ValueError(
                f"{member.filename} declares {member.file_size:,} bytes, more than {limits[member.filename]:,}"
            )
        with archive.open(member) as file:
            while file.read(_CHUNK):
                pass


def read_headers(archive: zipfile.ZipFile) -> dict[str, tuple[tuple[int, ...], np.dtype]]:
    """Return {name: (shape, dtype)} of the arrays of an .npz archive, without reading their data.

    Raises:
        ValueError: If a member is no array, or declares another size than its header.
        Exception: Of several types, if a member is damaged.
    """
    headers = {}
    for member in archive.infolist():
        with archive.open(member) as file:
            shape, _, dtype = _read_header(file, member.filename)
            size = file.tell() + math.prod(shape) * dtype.itemsize
        if not dtype.hasobject and size != member.file_size:
            raise ValueError(f"{member.filename} has {member.file_size:,} bytes, and {size:,} by its header")
        headers[member.filename.removesuffix(".npy")] = shape, dtype
    return headers


def read_array(archive: zipfile.ZipFile, name: str) -> np.ndarray:
    """Return one array of an .npz archive, its checksum verified; nothing is unpickled.

    Raises:
        ValueError: If it holds Python objects.
        Exception: Of several types, if it is damaged.
    """
    member = name if name in archive.namelist() else f"{name}.npy"
    with archive.open(member) as file:
        array = np.lib.format.read_array(file, allow_pickle=False)
        # The checksum is compared at the end of the member, so the end must have been reached.
        if file.read(1):
            raise ValueError(f"{member} is longer than its header says")
    return array


def _read_header(file, name: str):
    version = np.lib.format.read_magic(file)
    if version not in _HEADERS:
        raise ValueError(f"{name} has the .npy format {version}")
    return _HEADERS[version](file, max_header_size=_LONGEST_HEADER)
