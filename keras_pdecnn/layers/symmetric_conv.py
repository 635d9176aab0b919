"""The symmetric layer F_sym as a single Keras layer."""

from __future__ import annotations

import keras
from keras import ops

from keras_pdecnn.layers.field import FieldLayer
from keras_pdecnn.ops import layout


@keras.saving.register_keras_serializable(package="keras_pdecnn")
class SymmetricConv(FieldLayer):
    """The symmetric convolution layer F_sym(theta, y) = -K^T sigma(N(K y)) (eq. 7).

    Input and output have the shape (batch, *space, c). The weights are `kernel` (*kernel_size, c, filters), and with
    the shape (filters,) `scale` (if the normalisation has one) and `bias` (with `use_bias`). Under a mixed policy the
    output is float32.

    Args:
        **settings: Arguments of `FieldLayer`, with the same defaults and errors.

    Example:
        >>> SymmetricConv(filters=8)(keras.ops.ones((1, 8, 8, 4))).shape
        TensorShape([1, 8, 8, 4])
    """

    def build(self, input_shape):
        self._add_field_weights(input_shape)

    def call(self, y):
        theta = {name: weight[None] for name, weight in self.theta().items()}
        y = layout.to_channels_last(ops.cast(y, self.variable_dtype), self.data_format)
        return layout.from_channels_last(self.field(theta, 0, y), self.data_format)
