"""The connector between blocks: change the width, halve the resolution."""

from __future__ import annotations

import functools
import math

import keras
from keras import ops

from keras_pdecnn.initializers import draw
from keras_pdecnn.layers.base_connector import BaseConnector
from keras_pdecnn.layers.batch_normalization import BatchNormalization
from keras_pdecnn.layers.bounded_connector import BoundedConnector
from keras_pdecnn.layers.mixed_precision import pointwise_policy
from keras_pdecnn.ops.backend import primitives
from keras_pdecnn.ops.pooling import average_pool
from keras_pdecnn.utils import arguments

BACKPROPS = ("stored", "checkpointed")
"""The gradient modes of a connector."""


class BatchNormalized(BaseConnector):
    """A connector whose convolution is followed by batch normalisation."""

    def _set_normalization(self, momentum, synchronized, backprop):
        self.momentum = arguments.check_fraction("momentum", momentum)
        self.synchronized = arguments.check_flag("synchronized", synchronized)
        self.backprop = arguments.check_choice("backprop", backprop, BACKPROPS)

    def _add_weights(self, shape, kernel_size):
        self.kernel = self.add_weight(
            name="kernel",
            shape=(*kernel_size, shape[-1], self.filters),
            initializer=functools.partial(draw, self.kernel_initializer),
            regularizer=self.kernel_regularizer,
            autocast=False,
        )
        self.normalization = BatchNormalization(
            momentum=self.momentum,
            synchronized=self.synchronized,
            dtype=pointwise_policy(self),
            trainable=self.trainable,
            name="normalization",
        )
        self.normalization.build((*shape[:-1], self.filters))

    def inference_kernel(self):
        """Return the kernel that acts on features in inference, multiplied by the factors of the batch normalisation.

        Returns:
            float64 tensor of shape (*kernel_size, c, filters).
        """
        bn = self.normalization
        with primitives.in_float64():
            kernel, gamma, variance = (ops.cast(w, "float64") for w in (self.kernel, bn.gamma, bn.moving_variance))
            return kernel * (gamma * ops.rsqrt(variance + bn.epsilon))

    def _convolve_and_activate(self, y, training):
        """Return relu(BN(K y)); an export multiplies the factors of the normalisation into the kernel."""
        bn = self.normalization
        if training or not self._plain:
            if self.backprop == "checkpointed":
                return bn.relu_after(self._convolve, y, self.kernel, training=training)
            return ops.relu(bn(self._convolve(y, self.kernel), training=training))
        factors = bn.gamma * ops.rsqrt(bn.moving_variance + bn.epsilon)
        bias = bn.beta - bn.moving_mean * factors
        return ops.relu(self._convolve(y, ops.cast(self.kernel * factors, y.dtype)) + ops.cast(bias, y.dtype))

    def get_config(self):
        return {
            **super().get_config(),
            "momentum": self.momentum,
            "synchronized": self.synchronized,
            "backprop": self.backprop,
        }


@keras.saving.register_keras_serializable(package="keras_pdecnn")
class Connector(BatchNormalized):
    """Convolution without bias, batch normalisation, ReLU and average pooling.

    y -> pool(relu(BN(K y))),   (batch, *space, c) -> (batch, *(ceil(space / strides) // pool_size), filters)

    With the default kernel size 1 the layer leads from one block to the next; with kernel size 3 and pool size 1 it is
    the opening layer of a network. If the length of an axis is known only at run time, at least one pixel of it is
    kept. `BoundedConnector` is the connector of certified networks.

    Weights: `kernel` (*kernel_size, c, filters), and those of the batch normalisation.

    Args:
        filters: Number of output channels.
        kernel_size: Size of the convolution, an odd integer or one per space axis; default 1.
        pool_size: Factor by which every space axis shrinks; default 2, and 1 for no pooling.
        momentum: Momentum of the moving statistics of the batch normalisation; default 0.9.
        synchronized: Whether batch statistics are taken over all replicas of a distribution strategy; default False,
            each replica takes its own.
        kernel_initializer: Initializer of the kernel; default "he_normal".
        kernel_regularizer: Regulariser of the kernel; default None.
        data_format: Place of the channels in input and output, "channels_last" or "channels_first"; default None, the
            one of Keras's configuration.
        strides: Strides of the convolution, an integer or one per space axis; default 1. Of the pixels of its result,
            those at this distance are kept.
        backprop: Gradient mode, "stored" (default), or "checkpointed", which keeps the input and computes convolution
            and normalisation again: less memory, and a little more time. Only TensorFlow does so, in float32 and
            without `synchronized`.
        **layer_kwargs: name, dtype, trainable of `keras.layers.Layer`.

    Raises:
        ValueError: If an argument is outside its range, or pooling would leave nothing of an axis.

    Example:
        >>> Connector(filters=8)(keras.ops.ones((1, 8, 8, 4))).shape
        TensorShape([1, 4, 4, 8])
    """

    def __init__(
        self,
        filters,
        kernel_size=1,
        pool_size=2,
        momentum=0.9,
        synchronized=False,
        kernel_initializer="he_normal",
        kernel_regularizer=None,
        data_format=None,
        strides=1,
        backprop="stored",
        **layer_kwargs,
    ):
        if "provable" in layer_kwargs:
            raise ValueError(
                "Connector has no argument 'provable': the connector with a bounded norm is the layer "
                f"BoundedConnector. Received: provable={layer_kwargs['provable']!r}"
            )
        super().__init__(
            filters,
            kernel_size,
            pool_size,
            strides,
            kernel_initializer,
            kernel_regularizer,
            data_format,
            **layer_kwargs,
        )
        self._set_normalization(momentum, synchronized, backprop)

    def _connect(self, y, training):
        return average_pool(self._convolve_and_activate(y, training), self.pool_size)

    def lipschitz_bound(self, input_shape) -> float:
        """Return an upper bound of the l2 Lipschitz constant of the layer in inference.

        It is the norm of the convolution with `inference_kernel`, divided by the square root of the number p of pixels
        of a pooling window: the average over p pixels is 1 / sqrt(p) times a map with orthonormal rows. ReLU has the
        constant 1.

        Args:
            input_shape: Shape of the input, its batch axis included; sizes may be None.

        Raises:
            ValueError: If the layer is not built, or its weights are not finite.
        """
        space = self._space(input_shape)
        # An axis of unknown size may have a single pixel.
        window = [1 if n is None else min(n, self.pool_size) for n in self._strided(space)]
        return self._kernel_norm(space) * (1 / math.sqrt(math.prod(window)))

    def _shrunk(self, space):
        return self._pooled(self._strided(space))

    @classmethod
    def from_config(cls, config):
        """Return the connector of a configuration; an older one says with `provable` which of the two layers it is."""
        config = dict(config)
        if config.pop("provable", False):
            others = {"momentum", "synchronized", "backprop"}
            return BoundedConnector.from_config({key: value for key, value in config.items() if key not in others})
        return super().from_config(config)
