"""Operations that keep float64 under JAX."""

from __future__ import annotations

from jax.numpy import matmul, maximum, mean, minimum, sqrt, tensordot, where

__all__ = ["matmul", "maximum", "mean", "minimum", "reshape_like", "sqrt", "tensordot", "where"]


def reshape_like(x, like):
    """Return x in the shape of another tensor."""
    return x.reshape(like.shape)
