"""Checks of a data set before anything is trained on it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from keras_pdecnn.data.stored import is_stored

_ROWS = 1024  # examples checked at a time, so that the data are not copied


def check_stored(x, what: str):
    """Return examples as `check_examples` does, or unchanged if they are a `stored.Stored`, which is read later."""
    if not is_stored(x):
        return check_examples(x, what)
    check_form(x.shape, x.dtype, what)
    return x


def check_examples(
    x: ArrayLike, what: str, shape: Sequence[int | None] | None = None, dtype: DTypeLike | None = None
) -> np.ndarray:
    """Return examples as an array of numbers, shape `(n, *space, channels)`, not empty and all finite.

    Args:
        x: The examples.
        what: Name of the examples in error messages.
        shape: `(*space, channels)` that the examples must have; None in it stands for any size. Default None: any shape
            with one to three space axes.
        dtype: Type of the returned array. Default None: the type of the examples, with float32 in place of float64 and
            uint8 in place of bool.

    Raises:
        ValueError: If the examples are not numbers, have another shape, are empty, or are not all finite.
    """
    try:
        x = np.asarray(x)
    except (TypeError, ValueError) as error:  # lists of different lengths
        raise ValueError(f"{what} must be an array of numbers. Received: {type(x).__name__} ({error})") from error
    check_form(x.shape, x.dtype, what, shape)
    with np.errstate(over="ignore"):  # the check below reports overflows
        x = x.astype(native(x.dtype) if dtype is None else dtype, copy=False)
    if x.dtype.kind == "f":
        for first in range(0, len(x), _ROWS):
            rows = x[first : first + _ROWS]
            finite = np.isfinite(rows).reshape(len(rows), -1).all(axis=1)
            if not finite.all():
                index = first + int(np.argmin(finite))
                raise ValueError(f"{what} must be finite. Received: NaN or infinite values in example {index}")
    return x


def check_form(shape: tuple[int, ...], dtype: np.dtype, what: str, expected: Sequence[int | None] | None = None):
    """Raise ValueError if an array of this shape and type cannot hold examples, see `check_examples`.

    Args:
        shape: Shape of the array.
        dtype: Type of the array.
        what: Name of the examples in error messages.
        expected: `(*space, channels)` that the examples must have; default None, any with one to three space axes.
    """
    if dtype.kind not in "buif":
        raise ValueError(f"{what} must hold numbers. Received: dtype={dtype}")
    if expected is not None:
        given = zip(expected, shape[1:], strict=True) if len(shape) == len(expected) + 1 else None
        if given is None or any(n not in (None, m) for n, m in given):
            raise ValueError(f"{what} must be examples of the shape {tuple(expected)}. Received: shape={shape}")
    elif not 3 <= len(shape) <= 5:
        raise ValueError(
            f"{what} must have shape (examples, *space, channels) with one, two or three space axes; "
            f"a single channel is an axis of length 1. Received: shape={shape}"
        )
    if 0 in shape:
        raise ValueError(f"{what} must not be empty. Received: shape={shape}")


def native(dtype: np.dtype) -> np.dtype:
    """Return the type of TensorFlow and Keras that replaces a type of NumPy."""
    if dtype.kind == "b":
        return np.dtype(np.uint8)
    if dtype.kind == "f" and dtype.itemsize > 4:
        return np.dtype(np.float32)
    return dtype.newbyteorder("=")


def check_length(y: ArrayLike, examples: int, what: str) -> np.ndarray:
    """Return targets as an array; raise ValueError if they are none, or not one per example."""
    try:
        y = np.asarray(y)
    except (TypeError, ValueError) as error:  # lists of different lengths
        raise ValueError(f"{what} must be an array. Received: {type(y).__name__} ({error})") from error
    if y.ndim == 0 or len(y) != examples:
        raise ValueError(f"{what} must have one entry per example, {examples}. Received: shape={y.shape}")
    return y


def check_labels(y: ArrayLike, examples: int, what: str) -> np.ndarray:
    """Return labels `y` of shape `(n,)` or `(n, 1)` as int32 of shape `(n,)`; raise ValueError for others."""
    y = np.asarray(y)
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.ndim != 1:
        raise ValueError(f"{what} must have shape (n,) or (n, 1), not one-hot. Received: shape={y.shape}")
    if y.dtype.kind not in "ui":
        raise ValueError(f"{what} must be integers. Received: dtype={y.dtype}")
    if len(y) != examples:
        raise ValueError(f"{what} must have one label per example. Received: {len(y)} labels, {examples} examples")
    if y.min() < 0:
        raise ValueError(f"{what} must not be negative. Received: label {y.min()} at example {np.argmin(y)}")
    if y.max() >= 2**31:
        raise ValueError(f"{what} must fit in 32 bits. Received: label {y.max()} at example {np.argmax(y)}")
    return y.astype(np.int32)


def check_classes(
    y_train: np.ndarray, y_test: np.ndarray, classes: int | None, where: str, y_validation: np.ndarray | None = None
) -> int:
    """Return the number of classes, after checking that each has a training example and that there are no others.

    Args:
        y_train: Labels of the training part, shape `(n,)`.
        y_test: Labels of the test part, shape `(n,)`.
        classes: Expected number of classes; None stands for the largest training label plus one.
        where: Name or path of the data set, for error messages.
        y_validation: Labels of the validation part, shape `(n,)`, if the source has one; default None.

    Raises:
        ValueError: If there are fewer than two classes, a label is too large, or a class has no training example.
    """
    if classes is None:
        classes = int(y_train.max()) + 1
    if classes < 2:
        raise ValueError(f"{where}: a classifier needs at least two classes. Received: classes={classes}")
    for part, y in (("training", y_train), ("validation", y_validation), ("test", y_test)):
        if y is not None and y.max() >= classes:
            raise ValueError(
                f"{where}: labels must lie in 0..{classes - 1}, the classes of the training part. "
                f"Received: {part} label {y.max()} at example {np.argmax(y)}"
            )
    present = np.unique(y_train)
    if len(present) < classes:
        gaps = np.flatnonzero(present != np.arange(len(present)))
        absent = gaps[0] if len(gaps) else len(present)
        raise ValueError(
            f"{where}: every class needs a training example; with {classes} classes, "
            f"{classes - len(present)} have none. Received: no training example of class {absent}"
        )
    return classes
