"""The common part of both connectors: a convolution that changes the width, and pooling."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import keras
from keras import ops

from keras_pdecnn.layers.mixed_precision import convolution_dtype, pointwise_policy
from keras_pdecnn.layers.plain import Exportable
from keras_pdecnn.ops import convolution, layout
from keras_pdecnn.ops.backend import primitives
from keras_pdecnn.ops.operator_norm import operator_norm
from keras_pdecnn.utils import arguments


class BaseConnector(Exportable, keras.layers.Layer):
    """Base of the layers that lead from one block to the next.

    A subclass creates its weights in `_add_weights`, maps features with the channels last in `_connect`, and says in
    `inference_kernel` which kernel acts on features in inference.

    Args:
        filters: Number of output channels.
        kernel_size: Size of the convolution, an odd integer or one per space axis.
        pool_size: Factor by which every space axis shrinks; 1 for no pooling.
        strides: Strides of the convolution, an integer or one per space axis.
        kernel_initializer: Initializer of the kernel.
        kernel_regularizer: Regulariser of the kernel, or None.
        data_format: "channels_last" or "channels_first"; None for the one of Keras's configuration.
        **layer_kwargs: name, dtype, trainable of `keras.layers.Layer`.

    Raises:
        ValueError: If an argument is outside its range, or pooling would leave nothing of an axis.
    """

    def __init__(
        self,
        filters: int,
        kernel_size: int | tuple[int, ...],
        pool_size: int,
        strides: int | tuple[int, ...],
        kernel_initializer: str | Callable,
        kernel_regularizer: str | Callable | None,
        data_format: str | None,
        **layer_kwargs,
    ):
        # The layer casts by itself, as its convolution may have a type of its own.
        super().__init__(autocast=False, **arguments.check_layer_kwargs(layer_kwargs))
        self.filters = arguments.check_positive_integer("filters", filters)
        self.kernel_size = arguments.check_odd_sizes("kernel_size", kernel_size)
        self.pool_size = arguments.check_positive_integer("pool_size", pool_size)
        self.strides = arguments.check_sizes("strides", strides)
        self.kernel_initializer = arguments.look_up(
            "kernel_initializer", keras.initializers.get, kernel_initializer, required=True
        )
        self.kernel_regularizer = arguments.look_up("kernel_regularizer", keras.regularizers.get, kernel_regularizer)
        self.data_format = layout.standardize_data_format(data_format)

    def build(self, input_shape):
        shape = layout.shape_to_channels_last(input_shape, self.data_format)
        rank = len(shape) - 2
        if not 1 <= rank <= 3 or not shape[-1]:
            raise ValueError(
                f"A connector needs features of shape {layout.feature_axes(self.data_format)} with one to three space "
                f"axes and a known number of channels. Received: input_shape={tuple(input_shape)}"
            )
        size = arguments.per_entry("kernel_size", self.kernel_size, rank, "space axis")
        self._strides(rank)
        self.compute_output_shape(input_shape)
        self._add_weights(shape, size)
        channels = {layout.channel_axis(self.data_format): shape[-1]}
        self.input_spec = keras.layers.InputSpec(ndim=rank + 2, axes=channels)

    def _add_weights(self, shape: tuple, kernel_size: tuple[int, ...]):
        """Create the weights for features of a shape (batch, *space, channels)."""
        raise NotImplementedError

    def call(self, y, training=None):
        y = layout.to_channels_last(ops.cast(y, pointwise_policy(self).compute_dtype), self.data_format)
        return layout.from_channels_last(self._connect(y, training), self.data_format)

    def _connect(self, y, training):
        """Return the output for features y, both with the channels last."""
        raise NotImplementedError

    def _strides(self, rank: int) -> tuple[int, ...]:
        """Return the strides of the convolution on so many space axes."""
        return arguments.per_entry("strides", self.strides, rank, "space axis")

    def shrinks_by(self) -> tuple[int, ...]:
        """Return the factor by which each space axis shrinks, of a layer that is built."""
        return tuple(stride * self.pool_size for stride in self._strides(self.input_spec.ndim - 2))

    def _convolve(self, y, kernel):
        """Return K y in the type of y, or its pixels at the strides; an export leaves its gradient to the backend."""
        dtype = self._convolution_dtype or convolution_dtype(self)
        return ops.cast(self._convolve_in_type(ops.cast(y, dtype), ops.cast(kernel, dtype)), y.dtype)

    def _convolve_in_type(self, y, kernel):
        """Return K y, computed in the type of y."""
        strides = self._strides(len(y.shape) - 2)
        if max(strides) > 1:
            return convolution.strided_convolve(y, kernel, strides)
        return convolution.convolve(y, kernel) if self._plain else primitives.convolve(y, kernel)

    def inference_kernel(self):
        """Return the kernel that acts on features in inference, with all factors that multiply it."""
        raise NotImplementedError

    def _kernel_norm(self, space: Sequence[int | None]) -> float:
        """Return an upper bound of the norm of the convolution with `inference_kernel`, on images of this size.

        Strides only leave pixels of the result out, so they do not enlarge the norm.
        """
        if not self.built:
            raise ValueError(f"a layer has a Lipschitz bound once it is built. Received: layer={self.name}")
        known = [n for n in space if n is not None]
        shape = tuple(known) if len(known) == len(space) else None
        return float(operator_norm(ops.convert_to_numpy(self.inference_kernel()), shape=shape, axes=len(space)))

    def _space(self, input_shape) -> list[int | None]:
        """Return the sizes of the space axes, None where they are not known."""
        return list(layout.shape_to_channels_last(input_shape, self.data_format)[1:-1])

    def _pooled(self, space: Sequence[int | None]) -> list[int | None]:
        """Return the sizes of space axes after the pooling."""
        return [n and n // self.pool_size for n in space]

    def _strided(self, space: Sequence[int | None]) -> list[int | None]:
        """Return the sizes of space axes after the convolution."""
        return [n and -(-n // s) for n, s in zip(space, self._strides(len(space)), strict=True)]

    def _shrunk(self, space: Sequence[int | None]) -> list[int | None]:
        """Return the sizes of the space axes of the output, 0 where nothing is left."""
        raise NotImplementedError

    def compute_output_shape(self, input_shape):
        batch = layout.shape_to_channels_last(input_shape, self.data_format)[0]
        space = self._shrunk(self._space(input_shape))
        if 0 in space:
            raise ValueError(
                f"Pooling by {self.pool_size} would leave nothing of an axis: give a larger input or fewer blocks. "
                f"Received: input_shape={tuple(input_shape)}"
            )
        return layout.shape_from_channels_last((batch, *space, self.filters), self.data_format)

    def compute_output_spec(self, y, training=None):
        return keras.KerasTensor(self.compute_output_shape(y.shape), dtype=pointwise_policy(self).compute_dtype)

    @classmethod
    def from_config(cls, config):
        # Files without a data format are older than the argument: their layers have the channels last.
        return super().from_config({"data_format": "channels_last", **config})

    def get_config(self):
        return {
            **super().get_config(),
            "filters": self.filters,
            "kernel_size": self.kernel_size,
            "pool_size": self.pool_size,
            "strides": self.strides,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "kernel_regularizer": keras.regularizers.serialize(self.kernel_regularizer),
            "data_format": self.data_format,
        }
