"""The refining connector between blocks: change the width, double the resolution."""

from __future__ import annotations

import math

import keras

from keras_pdecnn.layers.base_refining_connector import BaseRefiningConnector
from keras_pdecnn.layers.connector import BatchNormalized
from keras_pdecnn.ops.refining import repeat_pixels


@keras.saving.register_keras_serializable(package="keras_pdecnn")
class RefiningConnector(BatchNormalized, BaseRefiningConnector):
    """Convolution without bias, batch normalisation and ReLU, then each pixel becomes a window of equal pixels.

    y -> repeat(relu(BN(K y))),   (batch, *space, c) -> (batch, *(factor * space), filters)

    It is the counterpart of `Connector` on the way back to the fine grid: what `Connector` averages, it repeats.

    Weights: `kernel` (*kernel_size, c, filters), and those of the batch normalisation.

    Args:
        filters: Number of output channels.
        kernel_size: Size of the convolution, an odd integer or one per space axis; default 1.
        factor: Factor by which every space axis grows; default 2.
        momentum: Momentum of the moving statistics of the batch normalisation; default 0.9.
        synchronized: Whether batch statistics are taken over all replicas of a distribution strategy; default False,
            each replica takes its own.
        kernel_initializer: Initializer of the kernel; default "he_normal".
        kernel_regularizer: Regulariser of the kernel; default None.
        data_format: Place of the channels in input and output, "channels_last" or "channels_first"; default None, the
            one of Keras's configuration.
        backprop: Gradient mode, "stored" (default) or "checkpointed", see `Connector`.
        **layer_kwargs: name, dtype, trainable of `keras.layers.Layer`.

    Raises:
        ValueError: If an argument is outside its range.

    Example:
        >>> RefiningConnector(filters=4)(keras.ops.ones((1, 4, 4, 8))).shape
        TensorShape([1, 8, 8, 4])
    """

    def __init__(
        self,
        filters,
        kernel_size=1,
        factor=2,
        momentum=0.9,
        synchronized=False,
        kernel_initializer="he_normal",
        kernel_regularizer=None,
        data_format=None,
        backprop="stored",
        **layer_kwargs,
    ):
        super().__init__(
            filters, kernel_size, factor, kernel_initializer, kernel_regularizer, data_format, **layer_kwargs
        )
        self._set_normalization(momentum, synchronized, backprop)

    def _connect(self, y, training):
        return repeat_pixels(self._convolve_and_activate(y, training), self.factor)

    def lipschitz_bound(self, input_shape) -> float:
        """Return an upper bound of the l2 Lipschitz constant of the layer in inference.

        It is the norm of the convolution with `inference_kernel`, times the root of the number of equal pixels.

        Args:
            input_shape: Shape of the input, its batch axis included; sizes may be None.

        Raises:
            ValueError: If the layer is not built, or its weights are not finite.
        """
        space = self._space(input_shape)
        return self._kernel_norm(space) * math.sqrt(self.factor ** len(space))
