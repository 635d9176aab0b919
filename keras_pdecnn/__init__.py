"""Keras layers, models and tools for convolutional networks that are discretised partial differential equations.

After Ruthotto & Haber, *Deep Neural Networks Motivated by Partial Differential Equations*, J. Math. Imaging and Vision
2019. Equation numbers in the documentation are the paper's.
"""

import importlib as _importlib
import os as _os
import typing as _typing

# TensorFlow reads this variable when it is first imported. Without it, its convolutions on processors without AVX-512
# take more time in training and about twice the memory. A value that the user has set, or an earlier import, prevails.
_os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

from keras_pdecnn import (
    callbacks,
    constraints,
    data,
    distribute,
    explain,
    export,
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
    training,
)
from keras_pdecnn.version import __version__

if _typing.TYPE_CHECKING:
    from keras_pdecnn import plotting, tuning

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
    # Pictures need Matplotlib and searches need Keras Tuner, which may be missing where TensorFlow is.
    if name in ("plotting", "tuning"):
        return _importlib.import_module(f"keras_pdecnn.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
