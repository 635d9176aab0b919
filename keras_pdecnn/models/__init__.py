"""The networks as Keras models: functions that build them, the class of the models, and loading from files."""

from keras_pdecnn.models.builders import ARCHITECTURES
from keras_pdecnn.models.hamiltonian import HamiltonianCNN
from keras_pdecnn.models.loading import load_model
from keras_pdecnn.models.model import PDEModel
from keras_pdecnn.models.parabolic import ParabolicCNN
from keras_pdecnn.models.residual import ResidualCNN
from keras_pdecnn.models.second_order import SecondOrderCNN

__all__ = [
    "ARCHITECTURES",
    "HamiltonianCNN",
    "PDEModel",
    "ParabolicCNN",
    "ResidualCNN",
    "SecondOrderCNN",
    "load_model",
]
