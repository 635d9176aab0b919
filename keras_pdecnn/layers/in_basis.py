"""Weights of a layer in a time basis: coefficients whose regulariser and constraint act on the values theta(t_j)."""

from __future__ import annotations

import keras
import numpy as np
from keras import ops

from keras_pdecnn.ops import time_basis


class InBasis:
    """Functions that treat the coefficients c_k of theta(t_j) = sum_k phi_k(t_j) c_k as weights of a layer.

    Args:
        basis: Name of the basis, see `ops.time_basis.matrix`.
        steps: Number N of steps.
        size: Number of functions phi_k.
        sampling: Times t_j within the steps, see `ops.time_basis.matrix`.
    """

    def __init__(self, basis: str, steps: int, size: int, sampling: str):
        self._matrix = time_basis.matrix(basis, steps, size, sampling)
        self._unit = time_basis.unit(basis, size)

    def values(self, coefficients, constraint=None):
        """Return the values theta(t_j) with time on axis 0, B c with B_jk = phi_k(t_j).

        With a constraint, they are constraint(B c), with the gradient of B c.
        """
        theta = time_basis.combine(self._matrix, coefficients)
        if constraint is None:
            return theta
        return ops.stop_gradient(constraint(theta)) + (theta - ops.stop_gradient(theta))

    def initializer(self, initializer):
        """Return an initialiser of coefficients that draws the weights of one step and makes theta constant in time."""
        initializer = keras.initializers.get(initializer)

        def initialize(shape, dtype=None):
            drawn = initializer((1, *shape[1:]), dtype=dtype)
            unit = ops.convert_to_tensor(self._unit, dtype=drawn.dtype)
            return drawn * ops.reshape(unit, (-1, *[1] * (len(shape) - 1)))

        return initialize

    def regularizer(self, regularizer, constraint=None):
        """Return a regulariser of coefficients that acts on theta(t_j)."""
        return lambda coefficients: regularizer(self.values(coefficients, constraint))

    def constraint(self, constraint):
        """Return a constraint of coefficients, c + B^+ (constraint(B c) - B c), with B^+ the pseudo-inverse of B."""
        # Combinations of coefficients on which the values hardly depend stay as they are.
        inverse = np.linalg.pinv(self._matrix, rcond=1e-4)

        def project(coefficients):
            theta = time_basis.combine(self._matrix, coefficients)
            return coefficients + time_basis.combine(inverse, constraint(theta) - theta)

        return project
