"""Pictures: each function returns a Matplotlib figure, made without pyplot, for `savefig`."""

from keras_pdecnn.utils import optional

optional.load("matplotlib", "pde.plotting")

from keras_pdecnn.plotting.attributions import attribution  # noqa: E402
from keras_pdecnn.plotting.confusion import confusion_matrices, confusion_matrix  # noqa: E402
from keras_pdecnn.plotting.features import dynamics, energy, trajectory  # noqa: E402
from keras_pdecnn.plotting.kernels import kernel_entries, operator_maps, operator_shares, theta  # noqa: E402
from keras_pdecnn.plotting.outputs import label_predictions, regression  # noqa: E402
from keras_pdecnn.plotting.pixels import class_colors, restoration, segmentation  # noqa: E402
from keras_pdecnn.plotting.runs import predictions, training_curves  # noqa: E402
from keras_pdecnn.plotting.searches import pareto_front, search  # noqa: E402

__all__ = [
    "attribution",
    "class_colors",
    "confusion_matrices",
    "confusion_matrix",
    "dynamics",
    "energy",
    "kernel_entries",
    "label_predictions",
    "operator_maps",
    "operator_shares",
    "pareto_front",
    "predictions",
    "regression",
    "restoration",
    "search",
    "segmentation",
    "theta",
    "training_curves",
    "trajectory",
]
