"""What a network does: its dynamics, the parts of an example that speak for a class, and a page with both and more."""

from keras_pdecnn.explain.attribution import class_activation, saliency, smooth_grad
from keras_pdecnn.explain.dynamics import BlockDynamics, conserved_energy, follow
from keras_pdecnn.explain.sections import page

__all__ = [
    "BlockDynamics",
    "class_activation",
    "conserved_energy",
    "follow",
    "page",
    "saliency",
    "smooth_grad",
]
