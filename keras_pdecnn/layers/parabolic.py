"""The parabolic block: the network as a heat equation."""

from __future__ import annotations

import keras

from keras_pdecnn.layers.block import PDEBlock
from keras_pdecnn.ops.integrators import forward_euler


@keras.saving.register_keras_serializable(package="keras_pdecnn")
class ParabolicBlock(PDEBlock):
    """N forward Euler steps of the parabolic equation (eq. 8), a heat equation that smooths features.

    y_{j+1} = y_j + h F_sym(theta_j, y_j),   F_sym(theta, y) = -K^T sigma(N(K y)) (eq. 7)

    The weights have one field. The block cannot be run backwards: that would be to solve the heat equation backwards.

    Args:
        steps: Number N of steps.
        backprop: Gradient mode, "stored" (default) or "checkpointed".
        **settings: Other arguments of `PDEBlock`, with the same defaults and errors.

    Example:
        >>> ParabolicBlock(steps=3)(keras.ops.ones((1, 8, 8, 4))).shape
        TensorShape([1, 8, 8, 4])
    """

    integrator = forward_euler
