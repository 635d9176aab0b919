"""The common part of both refining connectors: a convolution that changes the width, on a finer grid."""

from __future__ import annotations

from keras_pdecnn.layers.base_connector import BaseConnector
from keras_pdecnn.utils import arguments


class BaseRefiningConnector(BaseConnector):
    """Base of the layers that lead from a block to one on a finer grid.

    Args:
        filters: Number of output channels.
        kernel_size: Size of the convolution, an odd integer or one per space axis.
        factor: Factor by which every space axis grows.
        kernel_initializer: Initializer of the kernel.
        kernel_regularizer: Regulariser of the kernel, or None.
        data_format: "channels_last" or "channels_first"; None for the one of Keras's configuration.
        **layer_kwargs: name, dtype, trainable of `keras.layers.Layer`.

    Raises:
        ValueError: If an argument is outside its range.
    """

    def __init__(
        self, filters, kernel_size, factor, kernel_initializer, kernel_regularizer, data_format, **layer_kwargs
    ):
        super().__init__(
            filters, kernel_size, 1, 1, kernel_initializer, kernel_regularizer, data_format, **layer_kwargs
        )
        self.factor = arguments.check_positive_integer("factor", factor)

    def _shrunk(self, space):
        return [n and n * self.factor for n in space]

    def get_config(self):
        config = {**super().get_config(), "factor": self.factor}
        return {name: value for name, value in config.items() if name not in ("pool_size", "strides")}
