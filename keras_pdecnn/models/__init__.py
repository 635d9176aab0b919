"""The networks as Keras models: functions that build them, the class of the models, and loading from files."""

from keras_pdecnn.models.hamiltonian import HamiltonianCNN, HamiltonianUNet
from keras_pdecnn.models.loading import load_model
from keras_pdecnn.models.model import PDEModel
from keras_pdecnn.models.parabolic import ParabolicCNN, ParabolicUNet
from keras_pdecnn.models.residual import ResidualCNN, ResidualUNet
from keras_pdecnn.models.second_order import SecondOrderCNN, SecondOrderUNet
from keras_pdecnn.networks import NETWORKS, Network

ARCHITECTURES = {name: network.builder for name, network in NETWORKS.items()}
"""The builders of the four networks by name; `NETWORKS` also has those that users add."""

UNETS = {name: network.unet for name, network in NETWORKS.items()}
"""The builders of the four networks with outputs for every pixel, by name."""

__all__ = [
    "ARCHITECTURES",
    "NETWORKS",
    "UNETS",
    "HamiltonianCNN",
    "HamiltonianUNet",
    "Network",
    "PDEModel",
    "ParabolicCNN",
    "ParabolicUNet",
    "ResidualCNN",
    "ResidualUNet",
    "SecondOrderCNN",
    "SecondOrderUNet",
    "load_model",
]
