"""What every source yields."""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class Raw:
    """The arrays of a data set as they were found.

    Args:
        name: Name of the data set.
        where: The data set in error messages: its name, or its path.
        x_train: Training examples.
        y_train: Training labels.
        x_test: Test examples.
        y_test: Test labels.
        class_names: One string per class, or None.
    """

    name: str
    where: str
    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
    class_names: tuple[str, ...] | None = None
