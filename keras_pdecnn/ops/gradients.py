"""Gradients written out by hand where TensorFlow's own are slower or keep more in memory than they need."""

from __future__ import annotations

import tensorflow as tf

from keras_pdecnn.ops import convolution, normalization


def convolve(y, kernel, padding: str = "same"):
    """Apply K as `ops.convolution.convolve` does; the gradient with respect to y is K^T, again a convolution.

    On the CPU without oneDNN a convolution with the mirrored kernel is faster than TensorFlow's gradient operation at
    few channels; with oneDNN they are alike.
    """

    @tf.custom_gradient
    def run(y, kernel):
        def gradient(g):
            mirrored = convolution.adjoint_kernel(kernel)
            return convolve(g, mirrored, padding), kernel_gradient(y, g, kernel.shape, padding)

        return convolution.convolve(y, kernel, padding), gradient

    # A variable has no gradient inside a custom gradient, a tensor read from it has.
    return run(y, tf.convert_to_tensor(kernel))


def kernel_gradient(y, g, kernel_shape, padding: str = "same"):
    """Return the gradient of <K y, g> with respect to the kernel of K.

    Args:
        y: Tensor of shape (batch, *space, c).
        g: Tensor of shape (batch, *space, filters).
        kernel_shape: (*kernel_size, c, filters).
        padding: "same" or "periodic".

    Returns:
        Tensor of shape `kernel_shape`.
    """
    shape, dtype = list(kernel_shape), y.dtype
    rank, mode = len(shape) - 2, "SAME"
    if rank == 3 and dtype.size == 2:
        # On axes shorter than the kernel, oneDNN's operation for bfloat16 returns what it finds in memory.
        y, g = tf.cast(y, "float32"), tf.cast(g, "float32")
    if padding == "periodic":
        y, mode = convolution.wrap(y, shape[:-2]), "VALID"
    if rank == 3:
        found = tf.raw_ops.Conv3DBackpropFilterV2(
            input=y, filter_sizes=shape, out_backprop=g, strides=[1] * 5, padding=mode
        )
        return tf.cast(found, dtype)
    if rank == 1:
        y, g = y[:, None], g[:, None]
    found = tf.raw_ops.Conv2DBackpropFilter(
        input=y, filter_sizes=[1] * (2 - rank) + shape, out_backprop=g, strides=[1] * 4, padding=mode
    )
    return tf.reshape(found, shape)


def tv_normalize(u, epsilon: float = 1e-3):
    """Normalise as `ops.normalization.tv_normalize` does; of the forward pass only u is kept.

    With r = 1 / sqrt(sum_c u_c^2 + epsilon) and n = r u, the gradient is r (g - n sum_c n_c g_c).
    """

    @tf.custom_gradient
    def run(u):
        def gradient(g):
            r = normalization.inverse_length(u, epsilon)
            n = u * r
            return r * (g - n * tf.reduce_sum(n * g, -1, keepdims=True))

        return u * normalization.inverse_length(u, epsilon), gradient

    return run(u)
