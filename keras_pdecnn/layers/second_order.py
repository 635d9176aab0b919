"""The second-order block: the network as a wave equation."""

from __future__ import annotations

import keras

from keras_pdecnn.layers.block import PDEBlock
from keras_pdecnn.ops import layout
from keras_pdecnn.ops.integrators import leapfrog


@keras.saving.register_keras_serializable(package="keras_pdecnn")
class SecondOrderBlock(PDEBlock):
    """N leapfrog steps of the second-order equation (eq. 11); with its last velocity it can be run backwards.

    y_{j+1} = 2 y_j - y_{j-1} + h^2 F_sym(theta_j, y_j),   y_{-1} = y_0

    It is computed as v += h^2 F_sym(theta_j, y), y += v with v = 0 at first, which is the same scheme with less loss
    of digits. The weights have one field.

    Args:
        steps: Number N of steps.
        backprop: "reversible" (default), "checkpointed" or "stored".
        **settings: The other arguments of `PDEBlock`, with its defaults and errors.

    Example:
        >>> SecondOrderBlock(steps=3)(keras.ops.ones((1, 8, 8, 4))).shape
        TensorShape([1, 8, 8, 4])
    """

    integrator = leapfrog

    @classmethod
    def bounded_gain(cls, steps: int) -> float:
        # A Lipschitz constant below 1.07, see `stability.block_bounds`.
        return 1 / steps**2

    _is_called = False

    def __call__(self, *args, **kwargs):
        # Under PyTorch a layer is a module, which calls its method `forward`: there, that is the call of the layer.
        self._is_called = True
        try:
            return super().__call__(*args, **kwargs)
        finally:
            self._is_called = False

    def forward(self, y) -> tuple:
        """Return (y_N, v_N), the features at time N h and their last change, both of the shape of y."""
        if self._is_called:
            return super().forward(y)
        state = self._propagate(self.integrator.start(self._features(y)))
        return tuple(layout.from_channels_last(part, self.data_format) for part in state)

    def inverse(self, y, v):
        """Return the input that `forward` maps to (y, v), up to rounding.

        Args:
            y: Features at time N h, shape (batch, *space, channels).
            v: Their last change y_N - y_{N-1}, of the same shape.

        Returns:
            Features at time 0, of the same shape.

        Raises:
            ValueError: If y and v are not of one shape.
        """
        y, v = self._features(y), self._features(v)
        if any(None not in sizes and len(set(sizes)) > 1 for sizes in zip(y.shape, v.shape, strict=True)):
            raise ValueError(f"y and v must have one shape. Received: {tuple(y.shape)} and {tuple(v.shape)}")
        return self._undo((y, v))
