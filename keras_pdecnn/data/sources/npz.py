"""NumPy archives."""

from __future__ import annotations

import math
import os
from typing import Any

import numpy as np

from keras_pdecnn.data.checks import native
from keras_pdecnn.data.memory import check_memory, is_held, refuse_streaming
from keras_pdecnn.data.opened import OpenFile
from keras_pdecnn.data.sources.channels import check_channels
from keras_pdecnn.data.sources.raw import Raw, divided, in_two_parts
from keras_pdecnn.data.stored import Read, check_finite
from keras_pdecnn.tasks import DEFAULT, TASKS, Task
from keras_pdecnn.utils import archives, files
from keras_pdecnn.utils.layouts import LAYOUTS

_KEYS = ("x_train", "y_train", "x_test", "y_test")
_UNDIVIDED = ("x", "y")
_HINT = ", or say which by an entry layout='{other}' or layout='{one}' of the file"


class NpzExamples(Read):
    """Rows of an array in an .npz file, which are read where they stand: the array is not compressed.

    Args:
        file: The open file.
        start: Where the first row begins.
        shape: Shape of the array as it is stored.
        dtype: Type of the array as it is stored.
        what: Name of the array in messages.
    """

    def __init__(self, file: OpenFile, start: int, shape: tuple[int, ...], dtype: np.dtype, what: str):
        super().__init__(shape[0], shape[1:], native(dtype))
        self.file, self.start, self.stored, self.what = file, start, dtype, what
        self.row_bytes = math.prod(shape[1:]) * dtype.itemsize

    def with_channels(self) -> NpzExamples:
        """Return the examples with an axis for their only channel."""
        return NpzExamples(self.file, self.start, (*self.shape, 1), self.stored, self.what)

    def read(self, rows: np.ndarray, window: np.ndarray | None = None) -> np.ndarray:
        self.file.check()
        content = b"".join(self.file.read(self.start + int(row) * self.row_bytes, self.row_bytes) for row in rows)
        x = (
            np.frombuffer(content, self.stored, len(rows) * math.prod(self.shape[1:]))
            .reshape(len(rows), *self.shape[1:])
            .astype(self.dtype, copy=False)
        )
        check_finite(x, rows, self.what)
        return x


def read(path: str, in_memory: bool | None = None, task: Task | None = TASKS[DEFAULT]) -> Raw:
    """Return the arrays `x_train`, `y_train`, `x_test`, `y_test` of an .npz file, and `class_names` if it is there.

    Of a file with `x` and `y` in place of those, a fifth of the examples, stratified by class, is the test part.
    The headers are read first, for sizes and types; nothing is unpickled. An entry `layout` says what the examples are,
    and a missing channel axis is then added. Without `layout` the last axis holds the channels, and examples that
    probably lack that axis are refused.

    Args:
        path: Path of the file.
        in_memory: Whether x is held in memory; False for reading rows when they are needed, which an array that is
            compressed does not allow. Default None, in memory up to `memory.STREAMING_LIMIT`, or if it is compressed.
        task: What the targets are for; default a classification, None if the file need not have any.
    """
    files.check_exists("The .npz file", path, "Received: source=")
    try:
        with archives.open_archive(path) as archive:
            headers = archives.read_headers(archive)
    except Exception as error:  # a damaged archive raises a dozen types
        raise ValueError(f"Not a readable .npz file ({error}). Received: source={path!r}") from error
    undivided, divided_keys = (
        tuple(key for key in keys if task is not None or key.startswith("x")) for keys in (_UNDIVIDED, _KEYS)
    )
    is_undivided = all(key in headers for key in undivided) and not any(key in headers for key in _KEYS)
    missing = [] if is_undivided else [key for key in divided_keys if key not in headers]
    if missing:
        raise ValueError(
            f"An .npz file must hold {', '.join(_KEYS)}, or {' and '.join(_UNDIVIDED)}; {', '.join(missing)} missing. "
            f"Received: source={path!r} with {', '.join(headers) or 'no arrays'}"
        )
    wanted = undivided if is_undivided else divided_keys
    keys = [key for key in (*wanted, "class_names", "layout") if key in headers]
    for key in keys:
        if headers[key][1].hasobject:
            raise ValueError(f"{key} must not hold Python objects. Received: source={path!r}, {key} of type object")
    needed = sum(math.prod(headers[key][0]) * headers[key][1].itemsize for key in keys)
    starts = _choose_starts(path, [key for key in wanted if key.startswith("x")], needed, in_memory)
    arrays: dict[str, Any] = _read_arrays(path, [key for key in keys if key not in starts])
    if starts:
        file = OpenFile(path)
        for key, start in starts.items():
            arrays[key] = NpzExamples(file, start, *headers[key], f"{path}: {key}")
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
    if task is None:
        arrays |= {key.replace("x", "y"): np.zeros(len(x), np.int64) for key, x in tuple(arrays.items())}
    name = os.path.splitext(os.path.basename(path))[0]
    return (divided if is_undivided else in_two_parts)(name, path, class_names=class_names, task=task, **arrays)


def _choose_starts(path: str, keys: list[str], needed: int, in_memory: bool | None) -> dict[str, int]:
    """Return where arrays that are streamed begin in the file; empty if they are held in memory."""
    if is_held(needed, path, in_memory):
        return {}
    starts = _locate(path, keys)
    if starts is None:
        why = "Only arrays that are not compressed, as np.savez writes them, can be streamed."
        refuse_streaming(in_memory, f"source={path!r}", why)
        check_memory(needed, path)
    return starts or {}


def _read_arrays(path: str, keys: list[str]) -> dict[str, np.ndarray]:
    try:
        with archives.open_archive(path) as archive:
            return {key: archives.read_array(archive, key) for key in keys}
    except Exception as error:
        raise ValueError(f"Not a readable .npz file ({error}). Received: source={path!r}") from error


def _locate(path: str, keys: list[str]) -> dict[str, int] | None:
    """Return where the arrays begin in the file; None if they cannot be read where they stand."""
    try:
        with archives.open_archive(path) as archive:
            return {key: archives.locate(archive, key) for key in keys}
    except Exception:  # compressed; a damaged archive is reported when it is read
        return None


def _with_channels(x: Any, layout: np.ndarray | None, received: str) -> Any:
    """Return examples with a channel axis; raise ValueError where it is unclear whether they have one."""
    if layout is None:
        check_channels(x.shape, received, _HINT)
        return x
    axes = LAYOUTS.get(str(layout))
    if axes is None:
        raise ValueError(f"layout must be {', '.join(LAYOUTS)}. {received} {x.shape}, layout={str(layout)!r}")
    if len(x.shape) not in (axes + 1, axes + 2):
        raise ValueError(
            f"The layout {layout} is that of arrays with {axes + 1} axes, or {axes + 2} with one for the channels. "
            f"{received} {x.shape}"
        )
    if len(x.shape) == axes + 2:
        return x
    return x.with_channels() if isinstance(x, NpzExamples) else x[..., np.newaxis]
