"""Labels as people write them: integers, one-hot rows, or the names of the classes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike


def to_integers(
    labels: dict[str, ArrayLike], class_names: Sequence[str] | None, where: str
) -> tuple[dict[str, np.ndarray], tuple[str, ...] | None, int | None]:
    """Return the labels of all parts of a data set as integers where they are one-hot rows or names.

    The classes of names are numbered in the order of `class_names`, or else of the sorted names of the first part.
    Labels of other forms are returned as they are, for `checks.check_labels`.

    Args:
        labels: Labels of each part by name, the training part first: of shape `(n,)` or `(n, 1)`, or one-hot rows of
            shape `(n, classes)`.
        class_names: Names of the classes; None if there are none.
        where: Name or path of the data set, for error messages.

    Returns:
        (labels, class_names, classes): `classes` is the number of columns of one-hot rows, otherwise None.

    Raises:
        ValueError: If rows are not one-hot or differ in length, or a name is not one of the classes.
    """
    arrays = {key: _texts(_vector(_array(y, f"{where}: {key}"))) for key, y in labels.items()}
    if any(y.dtype.kind == "U" and y.ndim == 1 for y in arrays.values()):
        arrays, class_names = _number_names(arrays, class_names, where)
    columns = {key: y.shape[1] for key, y in arrays.items() if y.ndim == 2}
    if len(set(columns.values())) > 1:
        received = ", ".join(f"{count} in {key}" for key, count in columns.items())
        raise ValueError(f"{where}: one-hot labels must have one column per class in each part. Received: {received}")
    arrays = {key: _from_one_hot(y, f"{where}: {key}") if y.ndim == 2 else y for key, y in arrays.items()}
    return arrays, None if class_names is None else tuple(class_names), next(iter(columns.values()), None)


def _array(y: ArrayLike, what: str) -> np.ndarray:
    try:
        return np.asarray(y)
    except (TypeError, ValueError) as error:  # lists of different lengths
        raise ValueError(f"{what} must be an array. Received: {type(y).__name__} ({error})") from error


def _vector(y: np.ndarray) -> np.ndarray:
    return y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y


def _texts(y: np.ndarray) -> np.ndarray:
    """Return names as an array of str, and other labels as they are."""
    if y.dtype.kind == "O" and y.size and all(isinstance(name, str | bytes) for name in y.flat):
        names = [name.decode("utf-8") if isinstance(name, bytes) else name for name in y.flat]
        return np.array(names).reshape(y.shape)
    if y.dtype.kind == "S":
        return np.char.decode(y, "utf-8")
    return y.astype(str) if y.dtype.kind == "T" else y


def _number_names(arrays: dict[str, np.ndarray], class_names, where: str):
    """Return (labels, class_names) with the number of its class in place of each name."""
    for key, y in arrays.items():
        if y.dtype.kind != "U" or y.ndim != 1:
            raise ValueError(
                f"{where}: labels must be names in each part or in none. Received: {key} of shape {y.shape}, "
                f"dtype={y.dtype}"
            )
    names = np.unique(next(iter(arrays.values()))).tolist() if class_names is None else list(class_names)
    number = {name: index for index, name in enumerate(names)}
    for key, y in arrays.items():
        for index, name in enumerate(y.tolist()):
            if name not in number:
                known = "the classes of the training part" if class_names is None else "class_names"
                raise ValueError(
                    f"{where}: {key} must hold names of {known}. Received: label {name!r} at example {index}"
                )
    return {key: np.array([number[name] for name in y.tolist()], np.int64) for key, y in arrays.items()}, names


def _from_one_hot(y: np.ndarray, what: str) -> np.ndarray:
    form = f"{what} must be integers or names of shape (n,) or (n, 1), or one-hot rows of shape (n, classes)"
    if y.dtype.kind not in "buif":
        raise ValueError(f"{form}. Received: shape={y.shape}, dtype={y.dtype}")
    wrong = ~(((y == 0) | (y == 1)).all(axis=1) & (y.sum(axis=1) == 1))
    if wrong.any():
        index = int(np.argmax(wrong))
        raise ValueError(f"{form}; row {index} is not one-hot. Received: shape={y.shape}")
    return y.argmax(axis=1)
