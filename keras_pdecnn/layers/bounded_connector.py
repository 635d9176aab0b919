"""The connector of certified networks, which never moves two inputs apart."""

from __future__ import annotations

import functools

import keras
from keras import ops

from keras_pdecnn.initializers import draw
from keras_pdecnn.layers.base_connector import BaseConnector
from keras_pdecnn.ops import exact
from keras_pdecnn.ops.norms import norm_bound
from keras_pdecnn.ops.orthogonal import orthogonal_kernel
from keras_pdecnn.ops.pooling import space_to_depth
from keras_pdecnn.utils import arguments

TOLERANCE, SQUARINGS = 0.02, 4  # kernels are few and small here, so that a tight bound is cheap


class BoundedKernel(BaseConnector):
    """A connector whose kernel is divided by a bound of its norm, or made orthogonal, and which adds a bias."""

    orthogonal = False

    def _add_bounded_kernel(self, shape: tuple[int, ...]):
        self.kernel = self.add_weight(
            name="kernel",
            shape=shape,
            initializer=functools.partial(draw, self.kernel_initializer),
            regularizer=self.kernel_regularizer,
            autocast=False,
        )
        self.bias = self.add_weight(name="bias", shape=(self.filters,), initializer="zeros", autocast=False)

    def inference_kernel(self):
        """Return K / b(K) or the orthogonal kernel, of the shape of the kernel, in the type of the weights."""
        kernel = ops.convert_to_tensor(self.kernel)
        if self.orthogonal:
            return orthogonal_kernel(kernel)
        # The quotient of a kernel of zeros is 0, too.
        bound = norm_bound(kernel, tolerance=TOLERANCE, squarings=SQUARINGS)
        return kernel / exact.maximum(bound, keras.config.epsilon())


@keras.saving.register_keras_serializable(package="keras_pdecnn", name="BoundedConnector")
class BoundedConnector(BoundedKernel):
    """Pixels of a window as channels, a convolution whose norm is at most 1, a bias and ReLU.

    y -> relu(K D y / b(K) + bias),   (batch, *space, c) -> (batch, *ceil((space // pool_size) / strides), filters)

    (D y)(window) is the vector of all pixels of the window, one after the other, which keeps the length of y where an
    average would lose part of it. b(K) >= ||K|| is the bound of `ops.norm_bound`. A bias takes the place of the batch
    normalisation of `Connector`, whose factors have no bound. So the distance of two outputs is at most that of the
    two inputs, whatever the weights are.

    With `orthogonal`, `ops.orthogonal_kernel` takes the place of K / b(K). All singular values are then 1, not only the
    largest one. So the layer keeps the distance of two inputs before its activation, up to the border, if `filters` is
    at least the number of channels of the input times that of the pixels of a window and of the kernel.

    Weights: `kernel` (*kernel_size, pool_size^rank c, filters), rank the number of space axes, and `bias` (filters,).

    Args:
        filters: Number of output channels.
        kernel_size: Size of the convolution, an odd integer or one per space axis; default 1.
        pool_size: Factor by which every space axis shrinks; default 2, and 1 for no pooling.
        kernel_initializer: Initializer of the kernel; default "he_normal".
        kernel_regularizer: Regulariser of the kernel; default None.
        data_format: Place of the channels in input and output, "channels_last" or "channels_first"; default None, the
            one of Keras's configuration.
        strides: Strides of the convolution, an integer or one per space axis; default 1. Of the pixels of its result,
            those at this distance are kept.
        activation: Activation, "relu" (default), None for the identity, or "minmax", the larger and the smaller one of
            each pair of channels. That keeps lengths (Anil, Lucas and Grosse, Sorting out Lipschitz function
            approximation, 2019) and needs an even number of filters.
        orthogonal: Whether the kernel is orthogonal instead of having a norm of 1; default False.
        **layer_kwargs: name, dtype, trainable of `keras.layers.Layer`.

    Raises:
        ValueError: If an argument is outside its range, or pooling would leave nothing of an axis.

    Example:
        >>> BoundedConnector(filters=8)(keras.ops.ones((1, 8, 8, 4))).shape
        TensorShape([1, 4, 4, 8])
    """

    def __init__(
        self,
        filters,
        kernel_size=1,
        pool_size=2,
        kernel_initializer="he_normal",
        kernel_regularizer=None,
        data_format=None,
        strides=1,
        activation="relu",
        orthogonal=False,
        **layer_kwargs,
    ):
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
        self.activation = arguments.check_choice("activation", activation, tuple(_ACTIVATIONS))
        self.orthogonal = arguments.check_flag("orthogonal", orthogonal)
        if activation == "minmax" and self.filters % 2:
            raise ValueError(
                "The activation 'minmax' acts on pairs of channels, so that their number must be even. "
                f"Received: filters={self.filters}, activation='minmax'"
            )

    def _add_weights(self, shape, kernel_size):
        self._add_bounded_kernel((*kernel_size, shape[-1] * self.pool_size ** len(kernel_size), self.filters))

    def _connect(self, y, training):
        y = self._convolve(space_to_depth(y, self.pool_size), self.inference_kernel())
        return _ACTIVATIONS[self.activation](y + ops.cast(self.bias, y.dtype))

    def lipschitz_bound(self, input_shape) -> float:
        """Return an upper bound of the l2 Lipschitz constant of the layer, close to 1 or below.

        It is the norm of the convolution with `inference_kernel` on the pooled image: pixels that become channels keep
        their length, and the activations have the constant 1.

        Args:
            input_shape: Shape of the input, its batch axis included; sizes may be None.

        Raises:
            ValueError: If the layer is not built, or its weights are not finite.
        """
        # A short axis that is known only at run time is one window.
        return self._kernel_norm([n and max(1, n // self.pool_size) for n in self._space(input_shape)])

    def _shrunk(self, space):
        return self._strided(self._pooled(space))

    def get_config(self):
        return {**super().get_config(), "activation": self.activation, "orthogonal": self.orthogonal}


def _min_max(y):
    """Return the larger and the smaller one of the channels k and k + n / 2, for k < n / 2."""
    first, second = ops.split(y, 2, axis=-1)
    return ops.concatenate([ops.maximum(first, second), ops.minimum(first, second)], axis=-1)


_ACTIVATIONS = {"relu": ops.relu, None: lambda y: y, "minmax": _min_max}


# Keras files the weights of a layer under the name of its class, and both connectors are "connector" in files.
BoundedConnector.__name__ = "Connector"
