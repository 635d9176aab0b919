"""The two parts of a .keras file that matter here, its configuration and its weights, read without building a model."""

from __future__ import annotations

import io

import h5py
import ml_dtypes  # noqa: F401  makes the names of bfloat16 and float8 known to NumPy

from keras_pdecnn.utils import archives

_CONFIG, _METADATA, _WEIGHTS = "config.json", "metadata.json", "model.weights.h5"
_LARGEST = {_METADATA: 2**20, _CONFIG: 2**24, _WEIGHTS: 2**33}
_EXPANSION = 100  # weights hardly compress; Keras stores them as they are


def read(path) -> tuple[bytes, bytes]:
    """Return the configuration and the weights; raise an exception if something is damaged, missing or too large."""
    with archives.open_archive(path) as archive:
        stored = archive.getinfo(_WEIGHTS).compress_size
        archives.verify(archive, {**_LARGEST, _WEIGHTS: min(_LARGEST[_WEIGHTS], _EXPANSION * stored)})
        return archive.read(_CONFIG), archive.read(_WEIGHTS)


def check_weights(weights: bytes) -> int:
    """Return the number of arrays of layers in an HDF5 file.

    Raises:
        ValueError: If an array declares to be larger than the file, or lies in another file.
    """
    count = 0
    declared = []

    def visit(name, item):
        nonlocal count
        if isinstance(item, h5py.Group):
            links = {key: item.get(key, getlink=True) for key in item}
            if other := [key for key, link in links.items() if not isinstance(link, h5py.HardLink)]:
                raise ValueError(f"{_WEIGHTS} holds {other[0]} as a link")
        if isinstance(item, h5py.Dataset):
            declared.append(item.nbytes)
            count += name.startswith("layers/")
            if item.external or item.is_virtual:
                raise ValueError(f"{_WEIGHTS} takes {name} from another file")
            if item.dtype.kind not in "fiubV":
                raise ValueError(f"{_WEIGHTS} holds {name} of type {item.dtype}")

    with h5py.File(io.BytesIO(weights), "r") as file:
        visit("", file)
        file.visititems(visit)
    if sum(declared) > len(weights):
        raise ValueError(f"{_WEIGHTS} of {len(weights):,} bytes declares arrays of {sum(declared):,} bytes")
    return count
