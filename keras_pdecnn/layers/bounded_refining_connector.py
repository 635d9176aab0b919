"""The refining connector of certified networks, which never moves two inputs apart."""

from __future__ import annotations

import keras
from keras import ops

from keras_pdecnn.layers.base_refining_connector import BaseRefiningConnector
from keras_pdecnn.layers.bounded_connector import BoundedKernel
from keras_pdecnn.ops.refining import depth_to_space


@keras.saving.register_keras_serializable(package="keras_pdecnn")
class BoundedRefiningConnector(BoundedKernel, BaseRefiningConnector):
    """A convolution whose norm is at most 1, whose channels become the pixels of windows, a bias and ReLU.

    y -> relu(D^T K y / b(K) + bias),   (batch, *space, c) -> (batch, *(factor * space), filters)

    D y lists the pixels of each window, as in `BoundedConnector`, and D^T puts them back, which keeps the length.
    b(K) >= ||K|| is the bound of `ops.norm_bound`. So the distance of two outputs is at most that of the two inputs,
    whatever the weights are.

    Weights: `kernel` (*kernel_size, c, factor^rank filters), rank the number of space axes, and `bias` (filters,).

    Args:
        filters: Number of output channels.
        kernel_size: Size of the convolution, an odd integer or one per space axis; default 1.
        factor: Factor by which every space axis grows; default 2.
        kernel_initializer: Initializer of the kernel; default "he_normal".
        kernel_regularizer: Regulariser of the kernel; default None.
        data_format: Place of the channels in input and output, "channels_last" or "channels_first"; default None, the
            one of Keras's configuration.
        **layer_kwargs: name, dtype, trainable of `keras.layers.Layer`.

    Raises:
        ValueError: If an argument is outside its range.

    Example:
        >>> BoundedRefiningConnector(filters=4)(keras.ops.ones((1, 4, 4, 8))).shape
        TensorShape([1, 8, 8, 4])
    """

    def __init__(
        self,
        filters,
        kernel_size=1,
        factor=2,
        kernel_initializer="he_normal",
        kernel_regularizer=None,
        data_format=None,
        **layer_kwargs,
    ):
        super().__init__(
            filters, kernel_size, factor, kernel_initializer, kernel_regularizer, data_format, **layer_kwargs
        )

    def _add_weights(self, shape, kernel_size):
        self._add_bounded_kernel((*kernel_size, shape[-1], self.filters * self.factor ** len(kernel_size)))

    def _connect(self, y, training):
        y = depth_to_space(self._convolve(y, self.inference_kernel()), self.factor)
        return ops.relu(y + ops.cast(self.bias, y.dtype))

    def lipschitz_bound(self, input_shape) -> float:
        """Return an upper bound of the l2 Lipschitz constant of the layer, close to 1 or below.

        It is the norm of the convolution with `inference_kernel`: channels that become pixels keep their length.

        Args:
            input_shape: Shape of the input, its batch axis included; sizes may be None.

        Raises:
            ValueError: If the layer is not built, or its weights are not finite.
        """
        return self._kernel_norm(self._space(input_shape))
