"""The networks as Keras models: functions that build them, the class of the models, and loading from files."""

from keras_pdecnn.models.hamiltonian import HamiltonianCNN
from keras_pdecnn.models.loading import load_model
from keras_pdecnn.models.model import PDEModel
from keras_pdecnn.models.parabolic import ParabolicCNN
from keras_pdecnn.models.residual import ResidualCNN
from keras_pdecnn.models.second_order import SecondOrderCNN
from keras_pdecnn.networks import NETWORKS, Network

ARCHITECTURES = {name: network.builder for name, network in NETWORKS.items()}
"""The builders of the four networks by name; `NETWORKS` also has those that users add."""

__all__ = [
    "ARCHITECTURES",
    "NETWORKS",
    "HamiltonianCNN",
    "Network",
    "PDEModel",
    "ParabolicCNN",
    "ResidualCNN",
    "SecondOrderCNN",
    "load_model",
]
