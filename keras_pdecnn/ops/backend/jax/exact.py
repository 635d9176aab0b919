"""Operations that keep float64 under JAX."""

from __future__ import annotations

from jax.numpy import matmul, maximum, mean, minimum, sqrt, tensordot, where

__all__ = ["matmul", "maximum", "mean", "minimum", "sqrt", "tensordot", "where"]
