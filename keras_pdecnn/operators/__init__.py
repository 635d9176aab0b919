"""Kernels as differential operators, and on other grids."""

from keras_pdecnn.operators.coefficients import GROUPS, NAMES, coefficients, parts, shares, stencil, summary
from keras_pdecnn.operators.grids import coarsen, rediscretize, refine

__all__ = [
    "GROUPS",
    "NAMES",
    "coarsen",
    "coefficients",
    "parts",
    "rediscretize",
    "refine",
    "shares",
    "stencil",
    "summary",
]
