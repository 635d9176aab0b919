"""Scale, shift and activation of each channel, which follow a normalisation."""

from __future__ import annotations

from collections.abc import Callable

from keras import backend, ops


def affine(u, scale=None, bias=None):
    """Return scale * u + bias, where either may be None."""
    u = u if scale is None else u * scale
    return u if bias is None else u + bias


def activated(activation: Callable, u, scale=None, bias=None):
    """Return activation(scale * u + bias).

    Args:
        activation: Pointwise function.
        u: Tensor of shape (batch, *space, channels).
        scale: Tensor of shape (channels,); default None, which means 1.
        bias: Tensor of shape (channels,); default None, which means 0.
    """
    return activation(affine(u, scale, bias))


def activated_in_float32(activation: Callable, u, scale=None, bias=None):
    """Return what `activated` does; in half precision, scale, shift and their gradients are computed in float32.

    Those gradients are sums over all pixels, which would stop to grow in half precision.
    """
    dtype = backend.standardize_dtype(u.dtype)
    if dtype not in ("float16", "bfloat16"):
        return activated(activation, u, scale, bias)
    u, scale, bias = (None if x is None else ops.cast(x, "float32") for x in (u, scale, bias))
    return activation(ops.cast(affine(u, scale, bias), dtype))
