"""NumPy archives."""

import math
import os

import numpy as np

from keras_pdecnn.data.memory import check_memory
from keras_pdecnn.data.sources.channels import LAYOUTS, check_channels
from keras_pdecnn.data.sources.raw import Raw, divided, in_two_parts
from keras_pdecnn.utils import archives, files

_KEYS = ("x_train", "y_train", "x_test", "y_test")
_UNDIVIDED = ("x", "y")
_HINT = ", or say which by an entry layout='{other}' or layout='{one}' of the file"


def read(path: str) -> Raw:
    """Return the arrays `x_train`, `y_train`, `x_test`, `y_test` of an .npz file, and `class_names` if it is there.

    Of a file with `x` and `y` in place of those, a fifth of the examples, stratified by class, is the test part.
    The headers are read first, for sizes and types; nothing is unpickled. An entry `layout` says what the examples are,
    and a missing channel axis is then added. Without `layout` the last axis holds the channels, and examples that
    probably lack that axis are refused.
    """
    files.check_exists("The .npz file", path, "Received: source=")
    try:
        with archives.open_archive(path) as archive:
            headers = archives.read_headers(archive)
    except Exception as error:  # a damaged archive raises a dozen types
        raise ValueError(f"Not a readable .npz file ({error}). Received: source={path!r}") from error
    is_undivided = all(key in headers for key in _UNDIVIDED) and not any(key in headers for key in _KEYS)
    missing = [] if is_undivided else [key for key in _KEYS if key not in headers]
    if missing:
        raise ValueError(
            f"An .npz file must hold {', '.join(_KEYS)}, or {' and '.join(_UNDIVIDED)}; {', '.join(missing)} missing. "
            f"Received: source={path!r} with {', '.join(headers) or 'no arrays'}"
        )
    wanted = _UNDIVIDED if is_undivided else _KEYS
    keys = [key for key in (*wanted, "class_names", "layout") if key in headers]
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
    class_names = None
    if names is not None:
        class_names = tuple(np.char.decode(names, "utf-8").tolist() if names.dtype.kind == "S" else names.tolist())
    layout = arrays.pop("layout", None)
    for key in wanted:
        if key.startswith("x"):
            arrays[key] = _with_channels(arrays[key], layout, f"Received: source={path!r}, {key} of shape")
    name = os.path.splitext(os.path.basename(path))[0]
    return (divided if is_undivided else in_two_parts)(name, path, class_names=class_names, **arrays)


def _with_channels(x: np.ndarray, layout: np.ndarray | None, received: str) -> np.ndarray:
    """Return examples with a channel axis; raise ValueError where it is unclear whether they have one."""
    if layout is None:
        check_channels(x.shape, received, _HINT)
        return x
    axes = LAYOUTS.get(str(layout))
    if axes is None:
        raise ValueError(f"layout must be {', '.join(LAYOUTS)}. {received} {x.shape}, layout={str(layout)!r}")
    if x.ndim not in (axes + 1, axes + 2):
        raise ValueError(
            f"The layout {layout} is that of arrays with {axes + 1} axes, or {axes + 2} with one for the channels. "
            f"{received} {x.shape}"
        )
    return x[..., np.newaxis] if x.ndim == axes + 1 else x
