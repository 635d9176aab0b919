"""Seeing what a network does: its dynamics, what speaks for a class, and a page with both and more."""

from keras_pdecnn.explain.attribution import LogitModel, class_activation, saliency, smooth_grad
from keras_pdecnn.explain.dynamics import BlockDynamics, conserved_energy, follow

__all__ = [
    "BlockDynamics",
    "LogitModel",
    "class_activation",
    "conserved_energy",
    "follow",
    "saliency",
    "smooth_grad",
]
