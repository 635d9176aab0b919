"""The builders of the four networks, by the names of their architectures."""

from __future__ import annotations

from keras_pdecnn.models.hamiltonian import HamiltonianCNN
from keras_pdecnn.models.parabolic import ParabolicCNN
from keras_pdecnn.models.residual import ResidualCNN
from keras_pdecnn.models.second_order import SecondOrderCNN

ARCHITECTURES = {
    "parabolic": ParabolicCNN,
    "hamiltonian": HamiltonianCNN,
    "second_order": SecondOrderCNN,
    "residual": ResidualCNN,
}
