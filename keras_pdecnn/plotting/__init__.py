"""Pictures: each function returns a Matplotlib figure, made without pyplot, for `savefig`."""

from keras_pdecnn.plotting.runs import confusion_matrix, predictions, training_curves
from keras_pdecnn.plotting.searches import pareto_front, search

__all__ = ["confusion_matrix", "pareto_front", "predictions", "search", "training_curves"]
