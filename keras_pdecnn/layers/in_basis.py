"""Weights of a layer as functions of time: coefficients whose regulariser and constraint act on theta(t)."""

from __future__ import annotations

import keras
import numpy as np
from keras import ops

from keras_pdecnn.ops import time_basis


class InBasis:
    """The coefficients c_k of theta(t_j) = sum_k phi_k(t_j) c_k, B_jk = phi_k(t_j), as weights of a layer.

    Args:
        basis, steps, size: See `ops.time_basis.matrix`.
    """

    def __init__(self, basis: str, steps: int, size: int):
        self._matrix = time_basis.matrix(basis, steps, size)
        self._unit = time_basis.unit(basis, size)

    def values(self, coefficients, constraint=None):
        """Return theta(t_j), time on axis 0; with a constraint constraint(B c), whose gradient is that of B c."""
        theta = time_basis.combine(self._matrix, coefficients)
        if constraint is None:
            return theta
        return ops.stop_gradient(constraint(theta)) + (theta - ops.stop_gradient(theta))

    def initializer(self, initializer):
        """Return an initialiser of coefficients: one set of weights is drawn, and theta is constant in time."""
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
        """Return a constraint of coefficients, c + B^+ (constraint(B c) - B c): what B does not see stays as it is."""
        # Combinations of coefficients that theta(t_j) hardly depends on are left as they are too.
        inverse = np.linalg.pinv(self._matrix, rcond=1e-4)

        def project(coefficients):
            theta = time_basis.combine(self._matrix, coefficients)
            return coefficients + time_basis.combine(inverse, constraint(theta) - theta)

        return project
