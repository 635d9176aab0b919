"""The table of the tasks."""

from __future__ import annotations

from keras_pdecnn.tasks.classification import Classification
from keras_pdecnn.tasks.multi_label import MultiLabel
from keras_pdecnn.tasks.regression import Regression
from keras_pdecnn.tasks.restoration import Restoration
from keras_pdecnn.tasks.segmentation import Segmentation
from keras_pdecnn.tasks.task import Task
from keras_pdecnn.utils import arguments

DEFAULT = "classification"
"""The task of a recipe that names none."""

TASKS: dict[str, Task] = {
    task.name: task for task in (Classification(), MultiLabel(), Regression(), Segmentation(), Restoration())
}
"""The tasks by name. A task of your own is added with `TASKS["name"] = …`."""


def check_task(name: str, value) -> str:
    """Return the name of a task of `TASKS`; hyphens stand for underscores.

    Args:
        name: Name of the argument, for the error.
        value: Name of the task.

    Raises:
        ValueError: If there is no such task.

    Example:
        >>> check_task("task", "multi-label")
        'multi_label'
    """
    return arguments.check_name(name, value, TASKS)
