"""The connector between blocks: change the width, halve the resolution."""

from __future__ import annotations

import functools

import keras
from keras import ops

from keras_pdecnn.initializers import draw
from keras_pdecnn.layers.batch_normalization import BatchNormalization
from keras_pdecnn.layers.plain import Exportable
from keras_pdecnn.ops import convolution
from keras_pdecnn.ops.backend import primitives
from keras_pdecnn.ops.norms import norm_bound
from keras_pdecnn.utils import arguments

TOLERANCE, SQUARINGS = 0.02, 4  # kernels are few and small here, so that a tight bound is cheap


@keras.saving.register_keras_serializable(package="keras_pdecnn")
class Connector(Exportable, keras.layers.Layer):
    """Convolution without bias, batch normalisation, ReLU and average pooling.

    y -> pool(relu(BN(K y))),   (batch, *space, c) -> (batch, *(space // pool_size), filters)

    With the default kernel size 1 this leads from one block to the next; with kernel size 3 and pool size 1 it is the
    opening layer. Where an axis is known only at run time, at least one pixel of it is kept.

    With `provable` it never moves two inputs apart: the kernel is divided by an upper bound b(K) of the norm of its
    convolution, a bias takes the place of the batch normalisation, whose factors nothing bounds, and instead of being
    averaged, which forgets, all pixels of a window become channels:

    y -> relu(K D y / b(K) + bias),   (D y)(window) = its pixels one after the other, b(K) >= ||K|| of `ops.norm_bound`

    Weights: `kernel` (*kernel_size, c, filters) and those of the batch normalisation; with `provable`, `kernel`
    (*kernel_size, pool_size^rank c, filters) and `bias`.

    Args:
        filters: Number of output channels.
        kernel_size: Size of the convolution; default 1.
        pool_size: Factor by which every space axis shrinks; default 2, 1 for none.
        momentum: Of the moving statistics of the batch normalisation; default 0.9.
        synchronized: Whether batch statistics are taken over all replicas of a distribution strategy; default False:
            per replica.
        provable: Whether the norm of the layer is kept at 1 or below, as above; default False.
        kernel_initializer: Default "he_normal".
        kernel_regularizer: Regulariser of the kernel; default None.
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
        provable=False,
        kernel_initializer="he_normal",
        kernel_regularizer=None,
        **layer_kwargs,
    ):
        super().__init__(**arguments.check_layer_kwargs(layer_kwargs))
        self.filters = arguments.check_positive_integer("filters", filters)
        self.kernel_size = arguments.check_odd_sizes("kernel_size", kernel_size)
        self.pool_size = arguments.check_positive_integer("pool_size", pool_size)
        self.momentum = arguments.check_fraction("momentum", momentum)
        self.synchronized = arguments.check_flag("synchronized", synchronized)
        self.provable = arguments.check_flag("provable", provable)
        self.kernel_initializer = arguments.look_up(
            "kernel_initializer", keras.initializers.get, kernel_initializer, required=True
        )
        self.kernel_regularizer = arguments.look_up("kernel_regularizer", keras.regularizers.get, kernel_regularizer)

    def build(self, input_shape):
        rank = len(input_shape) - 2
        if not 1 <= rank <= 3 or not input_shape[-1]:
            raise ValueError(
                "Connector needs features of shape (batch, *space, channels) with one to three space axes and a known "
                f"number of channels. Received: input_shape={tuple(input_shape)}"
            )
        size = arguments.per_entry("kernel_size", self.kernel_size, rank, "space axis")
        self._pooled_shape(input_shape)
        self.kernel = self.add_weight(
            name="kernel",
            shape=(*size, input_shape[-1] * (self.pool_size**rank if self.provable else 1), self.filters),
            initializer=functools.partial(draw, self.kernel_initializer),
            regularizer=self.kernel_regularizer,
            autocast=not self.provable,  # its bound is taken in the type of the weights
        )
        self.normalization: BatchNormalization | None = None
        self.bias = None
        if self.provable:
            self.bias = self.add_weight(name="bias", shape=(self.filters,), initializer="zeros")
        else:
            self.normalization = BatchNormalization(
                momentum=self.momentum,
                synchronized=self.synchronized,
                dtype=self.dtype_policy,
                name="normalization",
            )
            self.normalization.build((*input_shape[:-1], self.filters))
        self.input_spec = keras.layers.InputSpec(ndim=rank + 2, axes={-1: input_shape[-1]})

    def call(self, y, training=None):
        convolve = convolution.convolve if self._plain else primitives.convolve
        if self.normalization is None:
            y = space_to_depth(y, self.pool_size)
            return ops.relu(convolve(y, ops.cast(self._normalized_kernel(), self.compute_dtype)) + self.bias)
        y = ops.relu(self.normalization(convolve(y, self.kernel), training=training))
        return average_pool(y, self.pool_size)

    def inference_kernel(self):
        """Return the kernel that acts on features in inference, the factors of the normalisation included.

        Shape (*kernel_size, c, filters), with a batch normalisation in float64; what else the layer does adds a
        constant or does not move features apart.
        """
        bn = self.normalization
        if bn is None:
            return self._normalized_kernel()
        kernel, gamma, variance = (ops.cast(w, "float64") for w in (self.kernel, bn.gamma, bn.moving_variance))
        return kernel * (gamma * ops.rsqrt(variance + bn.epsilon))

    def _normalized_kernel(self):
        """Return K / b(K), in the type of the weights."""
        kernel = ops.convert_to_tensor(self.kernel)
        # A kernel of zeros stays one.
        bound = norm_bound(kernel, tolerance=TOLERANCE, squarings=SQUARINGS)
        return kernel / ops.maximum(bound, keras.config.epsilon())

    def _pooled_shape(self, shape):
        """Return (batch, *space) after pooling; an axis shorter than the pool would be lost."""
        space = shape[1:-1]
        if any(size is not None and size < self.pool_size for size in space):
            raise ValueError(
                f"Pooling by {self.pool_size} would leave nothing of an axis: give a larger input or fewer blocks. "
                f"Received: input_shape={tuple(shape)}"
            )
        return (shape[0], *(None if size is None else size // self.pool_size for size in space))

    def compute_output_shape(self, input_shape):
        return (*self._pooled_shape(input_shape), self.filters)

    def get_config(self):
        return {
            **super().get_config(),
            "filters": self.filters,
            "kernel_size": self.kernel_size,
            "pool_size": self.pool_size,
            "momentum": self.momentum,
            "synchronized": self.synchronized,
            "provable": self.provable,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "kernel_regularizer": keras.regularizers.serialize(self.kernel_regularizer),
        }


def average_pool(y, size: int):
    """Average over windows of `size` pixels along every space axis; what is left over at the end is dropped.

    An axis shorter than the window keeps one entry, the average of what there is: a model for inputs of unknown size
    gives the same for a small image whether or not the size is known when it is called.
    """
    if size == 1:
        return y
    space = y.shape[1:-1]
    if len(space) < 3 and all(length is not None and length >= size for length in space):
        return ops.average_pool(y, size, padding="valid", data_format="channels_last")
    # TensorFlow pools three axes in few types only, and no axis that is too short.
    for axis in range(1, len(y.shape) - 1):
        y = _average_axis(y, size, axis)
    return y


def _average_axis(y, size: int, axis: int):
    """Average over windows along one axis, of known or unknown length."""
    shape = ops.shape(y)
    length = shape[axis]
    # At least 1, so that an axis without entries stays one.
    known = isinstance(length, int)
    window = max(1, min(length, size)) if known else ops.maximum(1, ops.minimum(length, size))
    count = length // window
    y = y[(slice(None),) * axis + (slice(0, count * window),)]
    return ops.mean(ops.reshape(y, (*shape[:axis], count, window, *shape[axis + 1 :])), axis=axis + 1)


def space_to_depth(y, size: int):
    """Make channels of the pixels of windows of `size` pixels along every space axis; what is left over is dropped.

    An axis shorter than the window is continued by zeros.
    """
    if size == 1:
        return y
    rank, channels = len(y.shape) - 2, y.shape[-1]
    for axis in range(1, rank + 1):
        length = ops.shape(y)[axis]
        known = isinstance(length, int)
        missing = max(size - length, 0) if known else ops.maximum(size - length, 0)
        if not known or missing:
            y = ops.pad(y, [(0, missing if i == axis else 0) for i in range(rank + 2)])
        count = length // size if known and not missing else (length + missing) // size
        y = y[(slice(None),) * axis + (slice(0, count * size),)]
    batch, *space = ops.shape(y)[:-1]
    y = ops.reshape(y, (batch, *(n for length in space for n in (length // size, size)), channels))
    y = ops.transpose(y, (0, *range(1, 2 * rank, 2), *range(2, 2 * rank + 1, 2), 2 * rank + 1))
    return ops.reshape(y, (batch, *(length // size for length in space), size**rank * channels))
