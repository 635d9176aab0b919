"""The second-order block: the network as a wave equation."""

from __future__ import annotations

import types

import keras

from keras_pdecnn.layers.block import PDEBlock
from keras_pdecnn.ops import layout
from keras_pdecnn.ops.integrators import half_kick_leapfrog, leapfrog
from keras_pdecnn.ops.integrators.leapfrog import nonexpansive_gain
from keras_pdecnn.utils import arguments

SAFETY = 0.99
"""Part of the largest proved gain that is left after the errors of norms and of float32."""


@keras.saving.register_keras_serializable(package="keras_pdecnn")
class SecondOrderBlock(PDEBlock):
    """N leapfrog steps of the second-order equation (eq. 11), a wave equation.

    y_{j+1} = 2 y_j - y_{j-1} + h^2 F_sym(theta_j, y_j),   y_{-1} = y_0

    The block computes v += h^2 F_sym(theta_j, y) and y += v, with v = 0 at first. This is the same scheme and loses
    fewer digits. To run the block backwards, the last v is needed as well: `forward` returns it, and `inverse` takes
    it. The weights have one field.

    Args:
        steps: Number N of steps.
        backprop: Gradient mode, "reversible" (default), "checkpointed" or "stored".
        scheme: Integrator, None (default, leapfrog of the paper), or "half-kick", which is of second order.
        **settings: Other arguments of `PDEBlock`, with the same defaults and errors.

    Example:
        >>> SecondOrderBlock(steps=3)(keras.ops.ones((1, 8, 8, 4))).shape
        TensorShape([1, 8, 8, 4])
    """

    integrator = leapfrog
    schemes = types.MappingProxyType({"half-kick": half_kick_leapfrog})

    @classmethod
    def bounded_gain(cls, steps: int) -> float:
        # Non-expansive, see `nonexpansive_gain`, which is at least 1.9 times as large.
        return 1 / steps**2

    @classmethod
    def nonexpansive_gain(cls, steps: int) -> float:
        """Return the largest `max_gain` for which the map y_0 -> y_N is proved to be non-expansive, less one per cent.

        a = 2 / max eigenvalue of the matrix with entries min(w_j, w_k)^2 / sqrt(w_j w_k),   w_j = N - j

        It is 2 for one step, 0.84 for two, and between 3.3 / N^2 and 5.7 / N^2 for more. The proof needs leapfrog and a
        `normalization` other than "tv", see `stability.block_bounds`.

        Args:
            steps: Number N of steps.

        Example:
            >>> block = SecondOrderBlock(2, step_size="auto", max_gain=SecondOrderBlock.nonexpansive_gain(2))
        """
        return SAFETY * nonexpansive_gain(arguments.check_positive_integer("steps", steps))

    _is_called = False

    def __call__(self, *args, **kwargs):
        # Under PyTorch a Keras layer is a module, and to call it calls its method `forward`.
        self._is_called = True
        try:
            return super().__call__(*args, **kwargs)
        finally:
            self._is_called = False

    def forward(self, y) -> tuple:
        """Return (y_N, v_N): the features at time N h and their last change y_N - y_{N-1}, both of the shape of y."""
        if self._is_called:
            return super().forward(y)
        state = self._propagate(self.integrator.start(self._features(y)))
        return tuple(layout.from_channels_last(part, self.data_format) for part in state)

    def inverse(self, y, v):
        """Return the input for which `forward` returns (y, v), up to rounding.

        Args:
            y: Features at time N h, shape (batch, *space, channels).
            v: Last change y_N - y_{N-1} of the features, of the same shape.

        Returns:
            Features at time 0, of the same shape.

        Raises:
            ValueError: If y and v have different shapes.
        """
        y, v = self._features(y), self._features(v)
        if any(None not in sizes and len(set(sizes)) > 1 for sizes in zip(y.shape, v.shape, strict=True)):
            raise ValueError(f"y and v must have one shape. Received: {tuple(y.shape)} and {tuple(v.shape)}")
        return self._undo((y, v))
