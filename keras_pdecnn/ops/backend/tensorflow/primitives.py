"""Operations of TensorFlow; some gradients are written by hand, as its own are slower or keep more in memory."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import tensorflow as tf

from keras_pdecnn.ops import convolution, tv
from keras_pdecnn.ops.backend.tensorflow.affine import activated
from keras_pdecnn.ops.backend.tensorflow.batch_normalization import compute_and_normalize, normalize_batch
from keras_pdecnn.ops.backend.tensorflow.differentiation import after, delayed, jvp, vjp

__all__ = [
    "activated",
    "activation",
    "add",
    "after",
    "compute_and_normalize",
    "concrete",
    "convolve",
    "delayed",
    "float32_product_roundoff",
    "in_float64",
    "jit",
    "jvp",
    "kernel_gradient",
    "normalize_batch",
    "tv_normalize",
    "vjp",
]


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


def tv_normalize(u, epsilon: float = 1e-3):
    """Normalise as `tv.tv_normalize` does; the gradient in a graph keeps result and lengths alone."""
    # Squares overflow in half precision. Lengths and result come from outside the custom gradient, which could not be
    # differentiated again otherwise.
    r = tv.inverse_length(tf.cast(u, tf.float32) if u.dtype.size == 2 else u, epsilon)

    @tf.custom_gradient
    def run(u, n, r):
        def gradient(g):
            # That of u contains what it owes to n and r.
            return tf.cast(tv.tv_pull_back(n, g, r), u.dtype), None, None

        return tf.identity(n), gradient

    return run(u, u * tf.cast(r, u.dtype), r)


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


def float32_product_roundoff() -> float:
    """Return the largest relative error of a factor in convolutions and matrix products of float32."""
    if tf.config.list_physical_devices("GPU") and tf.config.experimental.tensor_float_32_execution_enabled():
        return 2.0**-10  # By default, tensor cores round the factors to 11 bits.
    return 2.0**-24


def for_loss(output, axis: int):
    """Return an output of a network for its loss: the output itself."""
    del axis
    return output


def activation(function: Callable) -> Callable:
    """Return an activation that keeps the type of its argument: the activation itself."""
    return function


def add(total, x):
    """Return total + x."""
    return total + x
