"""The networks as Keras models: their builders, the class of the models, loading them from files."""

from keras_pdecnn.models.builders import HamiltonianCNN, ParabolicCNN, ResidualCNN, SecondOrderCNN
from keras_pdecnn.models.loading import load_model
from keras_pdecnn.models.model import PDEModel
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
