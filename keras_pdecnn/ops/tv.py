"""Total-variation normalisation (eq. 9): every pixel is divided by the length of its feature vector."""

from __future__ import annotations

from keras import backend, ops

from keras_pdecnn.ops import exact


def tv_normalize(u, epsilon: float = 1e-3):
    """Divide each pixel by the length of its feature vector, N_tv(u) = u / sqrt(sum_c u_c^2 + epsilon) (eq. 9).

    There are no batch statistics: the result for an example is the same in training and in inference, and does not
    depend on the other examples of the batch.

    Args:
        u: Tensor of shape (batch, *space, channels).
        epsilon: Positive number that keeps the quotient smooth at u = 0; default 1e-3.

    Returns:
        Tensor of the shape and type of u. The feature vector of each pixel is shorter than 1.

    Example:
        >>> tv_normalize(keras.ops.array([[3.0, 4.0]], "float64"), epsilon=1e-12).numpy().round(3).tolist()
        [[0.6, 0.8]]
    """
    return u * inverse_length(u, epsilon)


def affine_tv_normalize(u, scale=None, bias=None, epsilon: float = 1e-3):
    """Normalise as `tv_normalize` does, then scale and shift.

    Args:
        u: Tensor of shape (batch, *space, channels).
        scale: Tensor of shape (channels,); default None, which means 1.
        bias: Tensor of shape (channels,); default None, which means 0.
        epsilon: Positive number that smooths the normalisation; default 1e-3.

    Returns:
        Tensor of the shape and type of u.
    """
    return affine(tv_normalize(u, epsilon), scale, bias)


def affine(u, scale=None, bias=None):
    """Return scale * u + bias, where either may be None."""
    u = u if scale is None else u * scale
    return u if bias is None else u + bias


def inverse_length(u, epsilon: float):
    """Return 1 / sqrt(sum_c u_c^2 + epsilon), of shape (batch, *space, 1) and the type of u."""
    dtype = backend.standardize_dtype(u.dtype)
    # Squares of half-precision features overflow beyond 255, so the sum is computed in float32.
    wide = ops.cast(u, "float32") if dtype in ("float16", "bfloat16") else u
    length = ops.sum(ops.square(wide), axis=-1, keepdims=True)
    return ops.cast(ops.rsqrt(length + epsilon), dtype)


def tv_pull_back(u, g, r, scale=None, bias=None):
    """Return the gradients of <scale * r u + bias, g> with respect to u, scale and bias, r = inverse_length(u).

    The gradient with respect to u is r (scale g - u r^2 sum_c scale_c g_c u_c). The product g u, as a matrix (pixels,
    channels), is used twice: multiplied by scale it gives that sum, and by r the gradient with respect to scale.

    Args:
        u: Tensor of shape (batch, *space, channels).
        g: Tensor of the shape of u.
        r: Tensor of shape (batch, *space, 1), at least float32.
        scale: Tensor of shape (channels,), or None.
        bias: Tensor of shape (channels,), or None. Its values are not used.

    Returns:
        Three tensors of the type of r; None in place of the gradient of a weight that is None.
    """
    # In half precision the product of features and cotangent would overflow.
    u, g = ops.cast(u, r.dtype), ops.cast(g, r.dtype)
    product = ops.reshape(g * u, (-1, u.shape[-1]))
    of_scale = None
    of_bias = None if bias is None else ops.sum(g, axis=tuple(range(len(u.shape) - 1)))
    if scale is None:
        along = ops.sum(product, axis=-1)
    else:
        scale = ops.cast(scale, r.dtype)
        along = exact.matmul(product, scale[:, None])
        of_scale = ops.reshape(exact.matmul(ops.transpose(product), ops.reshape(r, (-1, 1))), (-1,))
        g = g * scale
    return r * (g - u * (r * r * exact.reshape_like(along, r))), of_scale, of_bias
