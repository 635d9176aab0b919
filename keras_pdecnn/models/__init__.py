"""The networks as Keras models: their builders, the class of the models, loading them from files."""

from keras_pdecnn.models.builders import ARCHITECTURES, HamiltonianCNN, ParabolicCNN, ResidualCNN, SecondOrderCNN
from keras_pdecnn.models.loading import load_model
from keras_pdecnn.models.model import PDEModel

__all__ = [
    "ARCHITECTURES",
    "HamiltonianCNN",
    "PDEModel",
    "ParabolicCNN",
    "ResidualCNN",
    "SecondOrderCNN",
    "load_model",
]
