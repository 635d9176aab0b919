"""The arrays that every source yields."""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class Raw:
    """The arrays of a data set as the source holds them.

    Args:
        name: Name of the data set.
        where: Name or path of the data set, for error messages.
        x_train: Training examples.
        y_train: Training labels.
        x_test: Test examples.
        y_test: Test labels.
        class_names: One string per class; default None, if the source has no names.
    """

    name: str
    where: str
    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
    class_names: tuple[str, ...] | None = None
