"""What a network is for: each task knows its targets, head, loss, metrics, and how predictions are read and drawn."""

from keras_pdecnn.tasks.degradation import DEGRADATIONS, Degradation, to_degradation
from keras_pdecnn.tasks.table import DEFAULT, TASKS, check_task
from keras_pdecnn.tasks.task import Targets, Task

__all__ = ["DEFAULT", "DEGRADATIONS", "TASKS", "Degradation", "Targets", "Task", "check_task", "to_degradation"]
