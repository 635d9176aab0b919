"""The residual block, a baseline for comparison: the same steps without the symmetry."""

from __future__ import annotations

import keras

from keras_pdecnn.layers.block import PDEBlock
from keras_pdecnn.ops.integrators import forward_euler


@keras.saving.register_keras_serializable(package="keras_pdecnn")
class ResidualBlock(PDEBlock):
    """N forward Euler steps with the general layer (eq. 3, 5): a residual network, which no step size makes stable.

    y_{j+1} = y_j + h F(theta_j, y_j),   F(theta, y) = K2 sigma(N(K1 y)) (eq. 1)

    The kernel has two fields, K1 = kernel[:, 0] and K2 = kernel[:, 1]^T. With kernel[:, 1] = -kernel[:, 0] this is the
    parabolic block. Scale and bias have one field. The block cannot be run backwards.

    Args:
        steps: Number N of steps.
        backprop: Gradient mode, "stored" (default) or "checkpointed".
        **settings: Other arguments of `PDEBlock`, with the same defaults and errors.

    Example:
        >>> ResidualBlock(steps=3)(keras.ops.ones((1, 8, 8, 4))).shape
        TensorShape([1, 8, 8, 4])
    """

    integrator = forward_euler
    symmetric = False
