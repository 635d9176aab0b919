"""Standardisation of each example, so that a model takes raw pixels."""

from __future__ import annotations

import math

import keras
from keras import ops

from keras_pdecnn.ops import exact
from keras_pdecnn.utils import arguments


@keras.saving.register_keras_serializable(package="keras_pdecnn")
class Standardization(keras.layers.Layer):
    """Bring each example to mean 0 and standard deviation 1 over all its entries, as the paper prepares its images.

    x -> (x - mean) / max(standard deviation, 1 / sqrt(n)),   n the number of entries of an example

    The lower bound of the standard deviation keeps a constant example finite. The input (batch, *space, channels), or
    with the channels first, may be in any unit; the output has the same shape and the type of the weights (float32
    under a mixed policy).

    Args:
        **layer_kwargs: name, dtype of `keras.layers.Layer`.

    Raises:
        ValueError: If dtype is no floating type.

    Example:
        >>> Standardization()(keras.ops.ones((1, 8, 8, 4))).shape
        TensorShape([1, 8, 8, 4])
    """

    def __init__(self, **layer_kwargs):
        super().__init__(autocast=False, **arguments.check_layer_kwargs(layer_kwargs))

    def call(self, x):
        x = ops.cast(x, self.variable_dtype)
        axes = tuple(range(1, len(x.shape)))
        centred = x - exact.mean(x, axis=axes, keepdims=True)
        variance = exact.mean(ops.square(centred), axis=axes, keepdims=True)
        entries = ops.shape(x)[1:]
        count = math.prod(entries) if all(isinstance(n, int) for n in entries) else ops.prod(ops.stack(entries))
        # The bound comes before the root, whose derivative at 0, for a constant example, is infinite.
        return centred / exact.sqrt(exact.maximum(variance, 1 / ops.cast(count, self.variable_dtype)))

    def lipschitz_bound(self, input_shape) -> float:
        """Return the l2 Lipschitz constant of the layer, sqrt(n).

        With m the mean of x, the layer is x -> sqrt(n) P(x - m), P the projection onto the unit ball.

        Args:
            input_shape: Shape of the input, its batch axis included.

        Raises:
            ValueError: If a size is not known.
        """
        sizes = tuple(input_shape)[1:]
        if None in sizes:
            raise ValueError(
                "the bound of a standardisation is the root of the number of entries of an example, which must be "
                f"known. Received: input_shape={tuple(input_shape)}"
            )
        return math.sqrt(math.prod(sizes))

    def compute_output_shape(self, input_shape):
        return tuple(input_shape)

    def compute_output_spec(self, x):
        return keras.KerasTensor(x.shape, dtype=self.variable_dtype)
