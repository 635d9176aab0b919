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
    if 0 in tuple(y.shape):
        # On three axes, TensorFlow's operation ends the process with a division by zero.
        return tf.zeros(shape, dtype)
    rank, mode = len(shape) - 2, "SAME"
    if rank == 3:
        # On axes shorter than the kernel, oneDNN's operation for bfloat16 returns what it finds in memory.
        y, g = tf.cast(y, _wide(dtype)), tf.cast(g, _wide(dtype))
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


def tv_normalize(u, scale=None, bias=None, epsilon: float = 1e-3):
    """Normalise as `ops.normalization.tv_normalize` does, then scale and shift; of the forward pass only u is kept.

    With r = 1 / sqrt(sum_c u_c^2 + epsilon), the gradient of scale * r u + bias is, with respect to u,
    r (scale g - u r^2 sum_c scale_c g_c u_c). The product g u is read twice as a matrix, (pixels, channels): times
    scale it is that sum, and times r the gradient with respect to scale.

    Args:
        u: Tensor of shape (batch, *space, channels).
        scale: Tensor of shape (channels,), or None for 1.
        bias: Tensor of shape (channels,), or None for 0.
        epsilon: Smoothing of the normalisation.

    Returns:
        Tensor of the shape and type of u.
    """
    given = [weight is not None for weight in (scale, bias)]

    @tf.custom_gradient
    def run(u, *weights):
        remaining = iter(weights)
        scale, bias = (next(remaining) if present else None for present in given)

        def gradient(g):
            found = tv_pull_back(u, g, inverse_length(u, epsilon), scale, bias)
            return [tf.cast(t, u.dtype) for t in found if t is not None]

        p = normalization.tv_normalize(u, epsilon)
        if scale is not None:
            p = p * scale
        if bias is not None:
            p = p + bias
        return p, gradient

    return run(u, *(weight for weight in (scale, bias) if weight is not None))


def inverse_length(u, epsilon: float):
    """Return r = 1 / sqrt(sum_c u_c^2 + epsilon), of shape (batch, *space, 1), in float32 where u is half precision."""
    return normalization.inverse_length(tf.cast(u, _wide(u.dtype)), epsilon)


def tv_pull_back(u, g, r, scale=None, bias=None):
    """Return the gradients of <scale * r u + bias, g> with respect to u, scale and bias, r = r(u) as in `tv_normalize`.

    Args:
        u: Tensor of shape (batch, *space, channels).
        g: Tensor of the shape of u.
        r: Tensor of shape (batch, *space, 1), at least float32.
        scale: Tensor of shape (channels,), or None.
        bias: Tensor of shape (channels,), or None; only whether it is there counts.

    Returns:
        Three tensors of the type of r; None for a weight that is not there.
    """
    # In half precision the product of features and cotangent would overflow.
    u, g = tf.cast(u, r.dtype), tf.cast(g, r.dtype)
    product = tf.reshape(g * u, [-1, u.shape[-1]])
    of_scale = None
    of_bias = None if bias is None else tf.reduce_sum(g, axis=list(range(u.shape.rank - 1)))
    if scale is None:
        along = tf.reduce_sum(product, axis=-1)
    else:
        scale = tf.cast(scale, r.dtype)
        along = tf.matmul(product, scale[:, tf.newaxis])
        of_scale = tf.reshape(tf.matmul(product, tf.reshape(r, [-1, 1]), transpose_a=True), [-1])
        g = g * scale
    return r * (g - u * (r * r * tf.reshape(along, tf.shape(r)))), of_scale, of_bias


def _wide(dtype):
    """Return float32 for half precision, whose sums and products overflow."""
    return tf.float32 if dtype.size == 2 else dtype
