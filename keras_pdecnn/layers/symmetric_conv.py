"""The symmetric layer F_sym as a Keras layer of its own."""

from __future__ import annotations

import keras
from keras import ops

from keras_pdecnn.layers.field import FieldLayer
from keras_pdecnn.ops import layout


@keras.saving.register_keras_serializable(package="keras_pdecnn")
class SymmetricConv(FieldLayer):
    """The symmetric convolution layer F_sym(theta, y) = -K^T sigma(N(K y)) (eq. 7).

    Weights: `kernel` (*kernel_size, c, filters), `scale` (with a normalisation) and `bias` (with `use_bias`), both
    (filters,). Input and output (batch, *space, c); the output is float32 under a mixed policy.

    Args:
        **settings: The arguments of `FieldLayer`, with its defaults and errors.

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
