"""Reading zip archives that may be damaged or hostile: headers tell the sizes, and checksums are verified."""

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
_LOCAL_HEADER = 30  # bytes before the name of a member; two lengths at its end say how much follows


def open_archive(path) -> zipfile.ZipFile:
    """Open a zip archive for reading.

    Raises:
        ValueError: If there is no regular file, two members have the same name, or a member is compressed by another
            method than deflation.
        Exception: Of a dozen types, if the archive is damaged.
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
    """Raise ValueError if there is no regular file at the path: reading a pipe or a device might never end."""
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError as error:
        raise ValueError("it does not exist") from error
    except OSError as error:
        raise ValueError(error.strerror) from error
    if not stat.S_ISREG(mode):
        raise ValueError("it is not a regular file")


def verify(archive: zipfile.ZipFile, limits: dict[str, int]):
    """Verify the checksum of every member, which is read a piece at a time and not kept.

    Args:
        archive: The archive.
        limits: Largest size, in bytes, of each member that may occur.

    Raises:
        ValueError: If there is another member, or a member declares a larger size.
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
    """Return {name: (shape, dtype)} for the arrays of an .npz archive, without reading their data.

    Raises:
        ValueError: If a member is not an array, or its size is not the one that its header declares.
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
    """Return one array of an .npz archive after verifying its checksum; nothing is unpickled.

    Raises:
        ValueError: If the array holds Python objects.
        Exception: Of several types, if the archive is damaged.
    """
    member = name if name in archive.namelist() else f"{name}.npy"
    with archive.open(member) as file:
        array = np.lib.format.read_array(file, allow_pickle=False)
        # zipfile compares the checksum at the end of the member, so the end must have been reached.
        if file.read(1):
            raise ValueError(f"{member} is longer than its header says")
    return array


def locate(archive: zipfile.ZipFile, name: str) -> int:
    """Return where the numbers of an array of an .npz archive begin in its file.

    Raises:
        ValueError: If the array is compressed, or its axes are in the order of Fortran.
        Exception: Of several types, if the archive is damaged.
    """
    member = archive.getinfo(name if name in archive.namelist() else f"{name}.npy")
    if member.compress_type != zipfile.ZIP_STORED:
        raise ValueError(f"{name} is compressed")
    with archive.open(member) as file:
        if _read_header(file, member.filename)[1]:
            raise ValueError(f"{name} has its axes in the order of Fortran")
        header = file.tell()
    whole = archive.fp
    assert whole is not None  # for mypy; the archive is open
    whole.seek(member.header_offset)
    start = whole.read(_LOCAL_HEADER)
    lengths = int.from_bytes(start[26:28], "little") + int.from_bytes(start[28:30], "little")
    return member.header_offset + _LOCAL_HEADER + lengths + header


def _read_header(file, name: str):
    version = np.lib.format.read_magic(file)
    if version not in _HEADERS:
        raise ValueError(f"{name} has the .npy format {version}")
    return _HEADERS[version](file, max_header_size=_LONGEST_HEADER)
