"""Keras layers, models and tools for convolutional networks that are discretised partial differential equations.

After Ruthotto & Haber, *Deep Neural Networks Motivated by Partial Differential Equations*, J. Math. Imaging and Vision
2019. Equation numbers in the documentation are the paper's.
"""

import importlib as _importlib
import typing as _typing

from keras_pdecnn.utils import onednn as _onednn  # before Keras

# isort: split
from keras_pdecnn import (
    callbacks,
    constraints,
    data,
    distribute,
    initializers,
    layers,
    losses,
    metrics,
    models,
    operators,
    ops,
    regularizers,
    stability,
    tasks,
)
from keras_pdecnn.version import __version__

if _typing.TYPE_CHECKING:
    from keras_pdecnn import explain, export, plotting, training, tuning

_onednn.warn_if_off()

# Imported when they are asked for: pictures need Matplotlib and searches need Keras Tuner, which may be missing where
# TensorFlow is; the others take time that a script with a layer alone need not spend.
_ON_DEMAND = ("explain", "export", "plotting", "recipes", "runs", "training", "tuning")

__all__ = [
    "__version__",
    "callbacks",
    "constraints",
    "data",
    "distribute",
    "explain",
    "export",
    "initializers",
    "layers",
    "losses",
    "metrics",
    "models",
    "operators",
    "ops",
    "plotting",
    "regularizers",
    "stability",
    "tasks",
    "training",
    "tuning",
]


def __getattr__(name: str):
    if name in _ON_DEMAND:
        return _importlib.import_module(f"keras_pdecnn.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
