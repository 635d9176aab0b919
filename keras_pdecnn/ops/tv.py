"""Total-variation normalisation (eq. 9): every pixel is divided by the length of its feature vector."""

from __future__ import annotations

from keras import backend, ops


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


def inverse_length(u, epsilon: float):
    """Return 1 / sqrt(sum_c u_c^2 + epsilon), of shape (batch, *space, 1) and the type of u."""
    dtype = backend.standardize_dtype(u.dtype)
    # Squares of half-precision features overflow beyond 255, so the sum is computed in float32.
    wide = ops.cast(u, "float32") if dtype in ("float16", "bfloat16") else u
    length = ops.sum(ops.square(wide), axis=-1, keepdims=True)
    return ops.cast(ops.rsqrt(length + epsilon), dtype)


def tv_pull_back(n, g, r):
    """Return the gradient of <N_tv(u), g> with respect to u, r (g - n sum_c g_c n_c), from n = N_tv(u).

    Args:
        n: Tensor of shape (batch, *space, channels), n = r u.
        g: Tensor of the shape of n.
        r: Tensor of shape (batch, *space, 1), r = inverse_length(u), at least float32.

    Returns:
        Tensor of the shape of n and the type of r.
    """
    # In half precision, the sum would lose digits.
    n, g = ops.cast(n, r.dtype), ops.cast(g, r.dtype)
    return r * (g - n * ops.sum(g * n, axis=-1, keepdims=True))
