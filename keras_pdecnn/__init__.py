"""Keras layers, models and tools for convolutional networks that are discretised partial differential equations.

After Ruthotto & Haber, *Deep Neural Networks Motivated by Partial Differential Equations*, J. Math. Imaging and Vision
2019. Equation numbers in the documentation are the paper's.
"""

import os as _os

# TensorFlow reads this when it is first imported. Without it, its convolutions on processors without AVX-512 take
# more time in training and about twice the memory. A setting of the user's, or an earlier import, prevails.
_os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

import keras as _keras

if _keras.backend.backend() != "tensorflow":
    raise ImportError(
        "keras_pdecnn needs the TensorFlow backend of Keras: set KERAS_BACKEND=tensorflow. "
        f"Received: {_keras.backend.backend()}"
    )

from keras_pdecnn import constraints, data, initializers, layers, models, ops, regularizers
from keras_pdecnn.version import __version__

__all__ = [
    "__version__",
    "constraints",
    "data",
    "initializers",
    "layers",
    "models",
    "ops",
    "regularizers",
]
