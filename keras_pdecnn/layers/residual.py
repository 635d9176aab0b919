"""The residual block, a baseline for comparison: the same steps without the symmetry."""

from __future__ import annotations

import types

import keras

from keras_pdecnn.layers.block import PDEBlock
from keras_pdecnn.ops.integrators import forward_euler, heun, rk4


@keras.saving.register_keras_serializable(package="keras_pdecnn")
class ResidualBlock(PDEBlock):
    """N forward Euler steps with the general layer (eq. 3, 5): a residual network, which no step size makes stable.

    y_{j+1} = y_j + h F(theta_j, y_j),   F(theta, y) = K2 sigma(N(K1 y)) (eq. 1)

    The kernel has two fields, K1 = kernel[:, 0] and K2 = kernel[:, 1]^T. With kernel[:, 1] = -kernel[:, 0] this is the
    parabolic block. Scale and bias have one field. These steps cannot be run backwards; `backprop="reversible"` couples
    two copies of them, which is another map, see `ops.reversible`.

    Args:
        steps: Number N of steps.
        backprop: Gradient mode, "stored" (default), "checkpointed" or "reversible".
        scheme: Integrator, None (default, forward Euler), "heun" or "rk4".
        **settings: Other arguments of `PDEBlock`, with the same defaults and errors.

    Example:
        >>> ResidualBlock(steps=3)(keras.ops.ones((1, 8, 8, 4))).shape
        TensorShape([1, 8, 8, 4])
    """

    integrator = forward_euler
    schemes = types.MappingProxyType({"heun": heun, "rk4": rk4})
    symmetric = False
