"""The arrays that every source yields."""

from __future__ import annotations

import dataclasses

import numpy as np

from keras_pdecnn.data import checks
from keras_pdecnn.data.crops import Crop
from keras_pdecnn.data.labels import to_integers
from keras_pdecnn.data.splits import stratified_split
from keras_pdecnn.data.stored import Stored
from keras_pdecnn.tasks import DEFAULT, TASKS, Task

TEST = 0.2
"""Fraction of the examples that is the test part where a source has none."""


@dataclasses.dataclass(frozen=True)
class Raw:
    """The arrays of a data set as the source holds them; examples may be a `stored.Stored`, which is read later.

    Args:
        name: Name of the data set.
        where: Name or path of the data set, for error messages.
        x_train: Training examples.
        y_train: Training labels.
        x_test: Test examples.
        y_test: Test labels.
        class_names: One string per class; default None, if the source has no names.
        classes: Number of classes; default None, if only the labels tell.
        x_validation: Validation examples; default None, if the source has no validation part.
        y_validation: Validation labels; default None.
        sampling_rate: Samples per second of sounds; default None.
        skipped: Files that could not be read and are left out; default none.
        crop: Window of each image that is read; default None, the whole example.
        max_value: Value of white where the type of the examples does not tell; default None.
    """

    name: str
    where: str
    x_train: np.ndarray | Stored
    y_train: np.ndarray
    x_test: np.ndarray | Stored
    y_test: np.ndarray
    class_names: tuple[str, ...] | None = None
    classes: int | None = None
    x_validation: np.ndarray | Stored | None = None
    y_validation: np.ndarray | None = None
    sampling_rate: int | None = None
    skipped: tuple[str, ...] = ()
    crop: Crop | None = None
    max_value: float | None = None


def divided(
    name: str,
    where: str,
    x,
    y,
    class_names: tuple[str, ...] | None = None,
    task: Task | None = TASKS[DEFAULT],
) -> Raw:
    """Return a data set without a test part: a fifth of the examples, stratified by class, becomes it.

    The split depends on the labels alone, see `splits.stratified_split`. Targets are checked before it, so that errors
    name the rows that they have in the source.

    Args:
        name: Name of the data set.
        where: Name or path of the data set, for error messages.
        x: Examples.
        y: Labels as integers, one-hot rows or names; or targets of another task.
        class_names: Names of the classes; default None.
        task: What the targets are for; default a classification, None if they are not used.
    """
    if task is None or not task.has_labels:
        x = checks.check_stored(x, f"{where}: x")
        y = checks.check_length(y, len(x), f"{where}: y")
        if task is not None:
            task.check_targets({"y": y}, {"y": x.shape}, class_names, where)
        train, test = plain_split(len(x), where)
        return Raw(name, where, x[train], y[train], x[test], y[test], class_names)
    labels, class_names, classes = to_integers({"y": y}, class_names, where)
    x = checks.check_stored(x, f"{where}: x")
    y = checks.check_labels(labels["y"], len(x), f"{where}: y")
    if class_names is not None and y.max() >= len(class_names):
        raise ValueError(
            f"{where}: labels must lie in 0..{len(class_names) - 1}, one per name. "
            f"Received: label {y.max()} in y, example {np.argmax(y)}"
        )
    train, test = stratified_split(y, round(TEST * len(y)), where)
    return Raw(name, where, x[train], y[train], x[test], y[test], class_names, classes)


def plain_split(count: int, where: str, part: float = TEST) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows of two parts of a data set without classes: all others, and a fraction `part` of them."""
    return stratified_split(np.zeros(count, np.int64), round(part * count), where)


def in_two_parts(
    name: str, where: str, x_train, y_train, x_test, y_test, class_names=None, task: Task | None = TASKS[DEFAULT]
) -> Raw:
    """Return a data set of a training and a test part, whose labels may be integers, one-hot rows or names.

    Args:
        name: Name of the data set.
        where: Name or path of the data set, for error messages.
        x_train: Training examples.
        y_train: Training labels.
        x_test: Test examples.
        y_test: Test labels.
        class_names: Names of the classes; default None.
        task: What the targets are for; default a classification, None if they are not used. Targets of another task
            are not checked here.
    """
    if task is None or not task.has_labels:
        return Raw(name, where, x_train, y_train, x_test, y_test, class_names)
    labels, class_names, classes = to_integers({"y_train": y_train, "y_test": y_test}, class_names, where)
    return Raw(name, where, x_train, labels["y_train"], x_test, labels["y_test"], class_names, classes)
