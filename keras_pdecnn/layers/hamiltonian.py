"""The Hamiltonian block: a reversible network on two coupled halves of the channels."""

from __future__ import annotations

import types

import keras

from keras_pdecnn.layers.block import PDEBlock
from keras_pdecnn.ops.integrators import symmetric_verlet, verlet


@keras.saving.register_keras_serializable(package="keras_pdecnn")
class HamiltonianBlock(PDEBlock):
    """N Verlet steps of the Hamiltonian system (eq. 10), a block that can be run backwards.

    y_{j+1} = y_j + h F_sym(theta1_j, z_j),   z_{j+1} = z_j - h F_sym(theta2_j, y_{j+1})

    The first half of the channels is y and the second half is z, so the number of channels must be even. The weights
    have two fields: index 0 drives y and index 1 drives z. c is half the number of channels.

    Args:
        steps: Number N of steps.
        backprop: Gradient mode, "reversible" (default), "checkpointed" or "stored".
        scheme: Integrator, None (default, Verlet's method of the paper), or "symmetric", which is of second order.
        **settings: Other arguments of `PDEBlock`, with the same defaults and errors.

    Raises:
        ValueError: If the number of input channels is odd.

    Example:
        >>> HamiltonianBlock(steps=3)(keras.ops.ones((1, 8, 8, 4))).shape
        TensorShape([1, 8, 8, 4])
    """

    integrator = verlet
    schemes = types.MappingProxyType({"symmetric": symmetric_verlet})
    preserves_volume = True
    """The determinant of the block is 1, as each update moves one part by what depends on the other."""

    @classmethod
    def bounded_gain(cls, steps: int) -> float:
        # A Lipschitz constant of at most 1.134 (of 64 steps or fewer), see `stability.block_bounds`.
        return 1 / (4 * steps)

    def inverse(self, y):
        """Return the input for which the output of the block is y, up to rounding.

        Args:
            y: Features at time N h, shape (batch, *space, channels).

        Returns:
            Features at time 0, of the same shape.
        """
        return self._undo(self.integrator.start(self._features(y)))
