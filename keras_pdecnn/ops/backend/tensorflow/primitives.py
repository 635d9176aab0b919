"""Operations whose gradients are written by hand, as those of TensorFlow are slower or keep more in memory."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import tensorflow as tf

from keras_pdecnn.ops import convolution, tv


def convolve(y, kernel, padding: str = "same"):
    """Apply K as `ops.convolution.convolve` does; the gradient with respect to y is again a convolution, with K^T.

    On a CPU without oneDNN, and for few channels, the convolution with the mirrored kernel is faster than TensorFlow's
    gradient operation. With oneDNN they are equally fast.
    """

    @tf.custom_gradient
    def run(y, kernel):
        def gradient(g):
            mirrored = convolution.adjoint_kernel(kernel)
            return convolve(g, mirrored, padding), kernel_gradient(y, g, kernel.shape, padding)

        return convolution.convolve(y, kernel, padding), gradient

    # Inside a custom gradient, a variable has no gradient, but a tensor that was read from it has one.
    return run(y, tf.convert_to_tensor(kernel))


def kernel_gradient(y, g, kernel_shape, padding: str = "same"):
    """Return the gradient of <K y, g> with respect to the kernel of K.

    Args:
        y: Tensor of shape (batch, *space, c).
        g: Tensor of shape (batch, *space, filters).
        kernel_shape: (*kernel_size, c, filters).
        padding: Continuation of y at the border, "same" (zeros, default) or "periodic".

    Returns:
        Tensor of shape `kernel_shape`.
    """
    shape, dtype = list(kernel_shape), y.dtype
    if 0 in tuple(y.shape):
        # On three axes, TensorFlow's operation ends the process with a division by zero.
        return tf.zeros(shape, dtype)
    rank, mode = len(shape) - 2, "SAME"
    if rank == 3 and dtype.size == 2:
        # On axes shorter than the kernel, oneDNN's operation for bfloat16 returns uninitialised memory.
        y, g = tf.cast(y, tf.float32), tf.cast(g, tf.float32)
    if padding == "periodic":
        y, mode = convolution.wrap(y, shape[:-2]), "VALID"
    if rank == 3:
        gradient = tf.raw_ops.Conv3DBackpropFilterV2(
            input=y, filter_sizes=shape, out_backprop=g, strides=[1] * 5, padding=mode
        )
        return tf.cast(gradient, dtype)
    if rank == 1:
        y, g = y[:, None], g[:, None]
    gradient = tf.raw_ops.Conv2DBackpropFilter(
        input=y, filter_sizes=[1] * (2 - rank) + shape, out_backprop=g, strides=[1] * 4, padding=mode
    )
    return tf.reshape(gradient, shape)


def tv_normalize(u, scale=None, bias=None, epsilon: float = 1e-3):
    """Normalise, scale and shift as `tv.affine_tv_normalize` does; the gradient keeps u and the lengths of pixels."""
    given = [weight is not None for weight in (scale, bias)]
    # Squares overflow in half precision. The lengths come from outside the custom gradient, which could not be
    # differentiated again otherwise.
    r = tv.inverse_length(tf.cast(u, tf.float32) if u.dtype.size == 2 else u, epsilon)

    @tf.custom_gradient
    def run(u, r, *weights):
        remaining = iter(weights)
        scale, bias = (next(remaining) if present else None for present in given)

        def gradient(g):
            # That of u contains what it owes to r.
            of_u, *of_weights = tv.tv_pull_back(u, g, r, scale, bias)
            return tf.cast(of_u, u.dtype), None, *(tf.cast(value, u.dtype) for value in of_weights if value is not None)

        return tv.affine(u * tf.cast(r, u.dtype), scale, bias), gradient

    return run(u, r, *(weight for weight in (scale, bias) if weight is not None))


def normalize_batch(inputs, scale, offset, epsilon: float) -> tuple:
    """Bring each channel to mean 0 and variance 1 over the batch, then scale and shift it, in one fused operation.

    Args:
        inputs: float32 tensor of shape (batch, *space, channels).
        scale: Tensor of shape (channels,).
        offset: Tensor of shape (channels,).
        epsilon: Number that is added to the variance.

    Returns:
        The output, of the shape of the inputs; the mean and the biased variance of the batch, of shape (channels,).
    """
    flat, scale, offset = _flat(inputs), tf.convert_to_tensor(scale), tf.convert_to_tensor(offset)
    outputs, mean, variance, *_ = _normalize(flat, scale, offset, epsilon)
    return _like(inputs, outputs), mean, _biased(variance, flat)


def compute_and_normalize(function: Callable, x, weight, scale, offset, epsilon: float) -> tuple:
    """Return relu of what `normalize_batch` makes of function(x, weight); the gradient keeps nothing but x.

    The other arguments and results are those of `normalize_batch`.
    """

    @tf.custom_gradient
    def run(x, weight, scale, offset):
        inputs = function(x, weight)
        flat = _flat(inputs)
        outputs, mean, variance, *reserved = _normalize(flat, scale, offset, epsilon)
        variance = _biased(variance, flat)

        def gradient(g, *_):
            inputs, pull_back = vjp(lambda arguments: function(*arguments), (delayed(x, g), weight))
            flat = _flat(inputs)
            # Only the signs of the outputs are needed, which the known mean and variance give.
            outputs, *_ = _normalize(flat, scale, offset, epsilon, mean, variance)
            of_flat, *of_weights = tf.raw_ops.FusedBatchNormGradV3(
                y_backprop=tf.raw_ops.ReluGrad(gradients=_flat(g), features=outputs),
                x=flat,
                scale=scale,
                reserve_space_1=reserved[0],
                reserve_space_2=reserved[1],
                reserve_space_3=reserved[2],
                epsilon=epsilon,
                is_training=True,
            )
            return *pull_back(_like(inputs, of_flat)), *of_weights[:2]

        return (_like(inputs, tf.nn.relu(outputs)), mean, variance), gradient

    return run(x, *map(tf.convert_to_tensor, (weight, scale, offset)))


def _normalize(x, scale, offset, epsilon, mean=None, variance=None):
    """Normalise with a mean and a variance, or, without them, with those of the batch."""
    statistics = {"mean": [], "variance": []} if mean is None else {"mean": mean, "variance": variance}
    return tf.raw_ops.FusedBatchNormV3(
        x=x, scale=scale, offset=offset, epsilon=epsilon, is_training=mean is None, **statistics
    )


def _flat(x):
    """Return features in the shape that the fused operation of batch normalisation is fast for."""
    return tf.reshape(x, [-1, 1, 1, x.shape[-1]])


def _like(x, flat):
    return tf.ensure_shape(tf.reshape(flat, tf.shape(x)), x.shape)


def _biased(variance, flat):
    """Return the biased variance of flat features; the fused operation returns the unbiased one."""
    count = tf.cast(tf.shape(flat)[0], "float32")
    return variance * (tf.maximum(count - 1, 1) / count)


def vjp(function: Callable, x) -> tuple[tf.Tensor, Callable]:
    """Return function(x), and the function that pulls a cotangent of it back to x, which can be called once.

    Both x and the value may be tuples of tensors.
    """
    with tf.GradientTape() as tape:
        tape.watch(x)
        value = function(x)

    def pull_back(v):
        gradients = tape.gradient(value, x, output_gradients=v, unconnected_gradients="zero")
        return tf.nest.map_structure(tf.convert_to_tensor, gradients)

    return value, pull_back


def jvp(function: Callable, x, tangent) -> tuple[tf.Tensor, tf.Tensor]:
    """Return function(x), and its derivative in the direction of a tangent; x may be a tuple of tensors."""
    with tf.autodiff.ForwardAccumulator(x, tangent) as accumulator:
        value = function(x)
    return value, accumulator.jvp(value, unconnected_gradients="zero")


def jit(function: Callable, signature: tuple | None = None) -> Callable:
    """Return a function of tensors as a graph.

    Args:
        function: Function of tensors, which changes no variables.
        signature: `keras.KerasTensor` of each argument, None in its shape for any size; default None, a graph is made
            for each shape.
    """
    specs = None if signature is None else [tf.TensorSpec(spec.shape, spec.dtype) for spec in signature]
    return tf.function(function, input_signature=specs, autograph=False)


def in_float64():
    """Return a context in which float64 is available: it always is."""
    return contextlib.nullcontext()


def concrete():
    """Return a context in which operations run at once, also while a graph is made."""
    return tf.init_scope()


def after(function: Callable, wait_for):
    """Return function(), computed only when the tensor `wait_for`, or all of a tuple, have been computed."""
    with tf.control_dependencies(tf.nest.flatten(wait_for)):
        return function()


def delayed(x, wait_for):
    """Return the tensor x, available only when the tensor `wait_for`, or all of a tuple, have been computed."""
    return after(lambda: tf.identity(x), wait_for)


def float32_product_roundoff() -> float:
    """Return the largest relative error of a factor in convolutions and matrix products of float32."""
    if tf.config.list_physical_devices("GPU") and tf.config.experimental.tensor_float_32_execution_enabled():
        return 2.0**-10  # By default, tensor cores round the factors to 11 bits.
    return 2.0**-24


def activation(function: Callable) -> Callable:
    """Return an activation that keeps the type of its argument: the activation itself."""
    return function


def add(total, x):
    """Return total + x."""
    return total + x
