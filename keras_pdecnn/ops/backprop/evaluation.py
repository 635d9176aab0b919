"""A right-hand side and its gradient in one evaluation.

Let F(x) = s K2 a with a = sigma(p(u)) and u = K1 x, where p normalises, scales and shifts, and s is a sign; the
symmetric layer (eq. 7) has K1 = K2^T = K and s = -1. For a cotangent w let v = K2^T w and d = (sigma o p)'(u)^T v. Then
the gradient of <F(x), w> is s K1^T d with respect to x, and with respect to K1 and K2^T it is s times the correlation
of x with d and of w with a. That makes six convolutions, and each of the pointwise quantities is computed once.
"""

from __future__ import annotations

import tensorflow as tf

from keras_pdecnn.ops.convolution import adjoint_kernel
from keras_pdecnn.ops.gradients import convolve, inverse_length, kernel_gradient, tv_pull_back


def evaluate(field, theta: dict, index: int, x, w, factor=1.0):
    """Evaluate factor * F and pull a cotangent back through it.

    Args:
        field: The right-hand side.
        theta: Weights of one time: for each name a list over the fields.
        index: Index of the field.
        x: Features, shape (batch, *space, c).
        w: Cotangent of factor * F(x), of the shape of x.
        factor: Number or scalar tensor, which no gradient is taken of.

    Returns:
        factor * F(x); the gradient of <factor * F(x), w> with respect to x; and those with respect to the weights, by
        (name, index).
    """
    state_dtype = x.dtype
    dtype = tf.as_dtype(field.compute_dtype or state_dtype)
    factor = field.sign * factor
    # Scaling the small kernels saves a pass over the features; in half precision it would lose digits.
    inside, outside = (factor, None) if dtype == state_dtype else (1, factor)
    first, second = field.kernel_indices(index)
    x, w, k1, k2 = (tf.cast(t, dtype) for t in (x, w, theta["kernel"][first], theta["kernel"][second]))
    scale, bias = (tf.cast(theta[name][index], dtype) if name in theta else None for name in ("scale", "bias"))

    def back(y, kernel):
        y = tf.cast(convolve(y, inside * adjoint_kernel(kernel), field.padding), state_dtype)
        return y if outside is None else outside * y

    a, d, of_scale, of_bias = _activate(
        field, convolve(x, k1, field.padding), convolve(w, k2, field.padding), scale, bias
    )
    of_k1 = kernel_gradient(x, d, k1.shape, field.padding)
    of_k2 = kernel_gradient(w, a, k2.shape, field.padding)
    kernels = {first: of_k1 + of_k2} if first == second else {first: of_k1, second: of_k2}
    found = {("kernel", i): value for i, value in kernels.items()}
    found |= {(name, index): value for name, value in (("scale", of_scale), ("bias", of_bias)) if value is not None}
    found = {key: factor * tf.cast(value, theta["kernel"][0].dtype) for key, value in found.items()}
    return back(a, k2), back(d, k1), found


def _activate(field, u, v, scale, bias):
    """Return a = sigma(p(u)), d = (sigma o p)'(u)^T v and the gradients of <a, v> with respect to scale and bias."""
    if field.normalization == "shrinkage":
        return _shrink(field, u, v, bias)
    p, r = u, None
    if field.normalization == "tv":
        r = inverse_length(u, field.epsilon)
        p = u * tf.cast(r, u.dtype)
    free = 1
    if field.normalization == "scale":
        free, scale = tf.cast(scale >= 0, scale.dtype), tf.maximum(scale, 0)
    p = p if scale is None else p * scale
    p = p if bias is None else p + bias
    with tf.GradientTape() as tape:
        tape.watch(p)
        a = field.activation(p)
    g = tape.gradient(a, p, output_gradients=v, unconnected_gradients="zero")
    if r is not None:
        d, of_scale, of_bias = tv_pull_back(u, g, r, scale, bias)
        return a, tf.cast(d, u.dtype), of_scale, of_bias
    axes = list(range(u.shape.rank - 1))
    of_scale = None if scale is None else free * tf.reduce_sum(g * u, axis=axes)
    of_bias = None if bias is None else tf.reduce_sum(g, axis=axes)
    return a, g if scale is None else g * scale, of_scale, of_bias


def _shrink(field, u, v, bias):
    """Return what `_activate` does, for a = r(p) p with p = sigma(u + b); there is no scale."""
    u = u if bias is None else u + bias
    with tf.GradientTape() as tape:
        tape.watch(u)
        p = field.activation(u)
    r = inverse_length(p, 1.0)
    g, _, _ = tv_pull_back(p, v, r)
    d = tape.gradient(p, u, output_gradients=tf.cast(g, p.dtype), unconnected_gradients="zero")
    of_bias = None if bias is None else tf.reduce_sum(d, axis=list(range(u.shape.rank - 1)))
    return p * tf.cast(r, p.dtype), d, None, of_bias
