"""Standardisation of each example, so that a model takes raw pixels."""

from __future__ import annotations

import math

import keras
from keras import ops

from keras_pdecnn.utils import arguments


@keras.saving.register_keras_serializable(package="keras_pdecnn")
class Standardization(keras.layers.Layer):
    """Bring each example to mean 0 and deviation 1, over all its entries, as the paper prepares its images.

    x -> (x - mean) / max(deviation, 1 / sqrt(n)),   n the number of entries of an example

    The lower bound of the deviation keeps a constant example finite. Input (batch, *space, channels) in any units,
    output of the same shape in the type of the weights (float32 under a mixed policy).

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
        centred = x - ops.mean(x, axis=axes, keepdims=True)
        deviation = ops.sqrt(ops.mean(ops.square(centred), axis=axes, keepdims=True))
        entries = ops.shape(x)[1:]
        count = math.prod(entries) if all(isinstance(n, int) for n in entries) else ops.prod(ops.stack(entries))
        return centred / ops.maximum(deviation, ops.rsqrt(ops.cast(count, self.variable_dtype)))

    def compute_output_shape(self, input_shape):
        return tuple(input_shape)

    def compute_output_spec(self, x):
        return keras.KerasTensor(x.shape, dtype=self.variable_dtype)
