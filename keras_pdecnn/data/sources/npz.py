"""NumPy archives."""

import math
import os

import numpy as np

from keras_pdecnn import archives
from keras_pdecnn.data.memory import check_memory
from keras_pdecnn.data.sources.raw import Raw

_KEYS = ("x_train", "y_train", "x_test", "y_test")


def read(path):
    """Returns the arrays `x_train`, `y_train`, `x_test`, `y_test` of an .npz file, and `class_names` if it is there.

    Sizes and types are taken from the headers first; nothing is unpickled.
    """
    if not os.path.isfile(path):
        raise ValueError(f"There is no such file. Received: source={path!r}")
    try:
        with archives.open_archive(path) as archive:
            headers = archives.read_headers(archive)
    except Exception as error:  # a damaged archive raises a dozen types
        raise ValueError(f"Not a readable .npz file ({error}). Received: source={path!r}") from error
    missing = [key for key in _KEYS if key not in headers]
    if missing:
        raise ValueError(
            f"An .npz file must hold {', '.join(_KEYS)}; {', '.join(missing)} missing. "
            f"Received: source={path!r} with {', '.join(headers) or 'no arrays'}"
        )
    keys = [key for key in (*_KEYS, "class_names") if key in headers]
    for key in keys:
        if headers[key][1].hasobject:
            raise ValueError(f"{key} must not hold Python objects. Received: source={path!r}, {key} of type object")
    needed = sum(math.prod(headers[key][0]) * headers[key][1].itemsize for key in keys)
    check_memory(needed, path)
    try:
        with archives.open_archive(path) as archive:
            arrays = {key: archives.read_array(archive, key) for key in keys}
    except Exception as error:
        raise ValueError(f"Not a readable .npz file ({error}). Received: source={path!r}") from error
    names = arrays.pop("class_names", None)
    if names is not None and not (names.ndim == 1 and names.dtype.kind in "US"):
        raise ValueError(
            f"class_names must be a vector of strings. "
            f"Received: source={path!r}, class_names of shape {names.shape}, dtype={names.dtype}"
        )
    if names is not None:
        names = tuple(np.char.decode(names, "utf-8").tolist() if names.dtype.kind == "S" else names.tolist())
    name = os.path.splitext(os.path.basename(path))[0]
    return Raw(name, path, class_names=names, **arrays)
