"""The parabolic block: the network as a heat equation."""

from __future__ import annotations

import types

import keras

from keras_pdecnn.layers.block import PDEBlock
from keras_pdecnn.ops.integrators import accelerated, forward_euler, heun, rk4, semi_implicit


@keras.saving.register_keras_serializable(package="keras_pdecnn")
class ParabolicBlock(PDEBlock):
    """N forward Euler steps of the parabolic equation (eq. 8), a heat equation that smooths features.

    y_{j+1} = y_j + h F_sym(theta_j, y_j),   F_sym(theta, y) = -K^T sigma(N(K y)) (eq. 7)

    The weights have one field. These steps cannot be run backwards: that would be to solve the heat equation backwards.
    With `backprop="reversible"` the block therefore computes another map, two coupled copies of the steps, see
    `ops.reversible`: memory does not grow with depth, the work is twice as large, and large steps are less stable.

    Args:
        steps: Number N of steps.
        backprop: Gradient mode, "stored" (default), "checkpointed" or "reversible".
        scheme: Integrator, None (default, forward Euler), "heun", "rk4", "accelerated" (fast semi-iterative, which goes
            N / 3 times as far), or "semi-implicit" (stable for every step size, with padding="periodic").
        **settings: Other arguments of `PDEBlock`, with the same defaults and errors.

    Example:
        >>> ParabolicBlock(steps=3)(keras.ops.ones((1, 8, 8, 4))).shape
        TensorShape([1, 8, 8, 4])
    """

    integrator = forward_euler
    schemes = types.MappingProxyType(
        {"heun": heun, "rk4": rk4, "accelerated": accelerated, "semi-implicit": semi_implicit}
    )
