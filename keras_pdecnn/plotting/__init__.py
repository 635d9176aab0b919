"""Pictures: each function returns a Matplotlib figure, made without pyplot, for `savefig`."""

from keras_pdecnn.plotting.attributions import attribution
from keras_pdecnn.plotting.features import dynamics, energy, trajectory
from keras_pdecnn.plotting.kernels import kernel_entries, operator_maps, operator_shares, theta
from keras_pdecnn.plotting.runs import confusion_matrix, predictions, training_curves
from keras_pdecnn.plotting.searches import pareto_front, search

__all__ = [
    "attribution",
    "confusion_matrix",
    "dynamics",
    "energy",
    "kernel_entries",
    "operator_maps",
    "operator_shares",
    "pareto_front",
    "predictions",
    "search",
    "theta",
    "training_curves",
    "trajectory",
]
