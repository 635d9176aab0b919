"""Keras layers: the blocks of the four networks and what connects them."""

from keras_pdecnn.layers.affine_coupling import AffineCoupling
from keras_pdecnn.layers.block import PDEBlock
from keras_pdecnn.layers.bounded_connector import BoundedConnector
from keras_pdecnn.layers.bounded_refining_connector import BoundedRefiningConnector
from keras_pdecnn.layers.connector import Connector
from keras_pdecnn.layers.hamiltonian import HamiltonianBlock
from keras_pdecnn.layers.normalized_dense import NormalizedDense
from keras_pdecnn.layers.padding import CropLike, PadToMultiple
from keras_pdecnn.layers.parabolic import ParabolicBlock
from keras_pdecnn.layers.refining_connector import RefiningConnector
from keras_pdecnn.layers.residual import ResidualBlock
from keras_pdecnn.layers.reversible import Reversible
from keras_pdecnn.layers.reversible_sequence import ReversibleSequence
from keras_pdecnn.layers.second_order import SecondOrderBlock
from keras_pdecnn.layers.standardization import Standardization
from keras_pdecnn.layers.symmetric_conv import SymmetricConv
from keras_pdecnn.layers.tv_normalization import TVNormalization

__all__ = [
    "AffineCoupling",
    "BoundedConnector",
    "BoundedRefiningConnector",
    "Connector",
    "CropLike",
    "HamiltonianBlock",
    "NormalizedDense",
    "PDEBlock",
    "PadToMultiple",
    "ParabolicBlock",
    "RefiningConnector",
    "ResidualBlock",
    "Reversible",
    "ReversibleSequence",
    "SecondOrderBlock",
    "Standardization",
    "SymmetricConv",
    "TVNormalization",
]
