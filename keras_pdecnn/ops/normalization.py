"""Total-variation normalisation (eq. 9): every pixel is divided by the length of its feature vector."""

from __future__ import annotations

from keras import backend, ops


def tv_normalize(u, epsilon: float = 1e-3):
    """Normalise over the channels of each pixel, N_tv(u) = u / sqrt(sum_c u_c^2 + epsilon) (eq. 9).

    There are no batch statistics: an example is treated alike in training and in inference, in any batch.

    Args:
        u: Tensor of shape (batch, *space, channels).
        epsilon: Positive number that keeps the quotient smooth at u = 0; default 1e-3.

    Returns:
        Tensor of the shape and type of u; the vector of each pixel is shorter than 1.

    Example:
        >>> tv_normalize(keras.ops.array([[3.0, 4.0]], "float64"), epsilon=1e-12).numpy().round(3).tolist()
        [[0.6, 0.8]]
    """
    return u * inverse_length(u, epsilon)


def inverse_length(u, epsilon: float):
    """Return 1 / sqrt(sum_c u_c^2 + epsilon), of shape (batch, *space, 1) and the type of u."""
    dtype = backend.standardize_dtype(u.dtype)
    # Squares of half-precision features overflow beyond 255, so their sum is taken in float32.
    wide = ops.cast(u, "float32") if dtype in ("float16", "bfloat16") else u
    length = ops.sum(ops.square(wide), axis=-1, keepdims=True)
    return ops.cast(ops.rsqrt(length + epsilon), dtype)
