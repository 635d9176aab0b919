"""Operations that keep float64 under TensorFlow: those of Keras do."""

from __future__ import annotations

from keras.ops import matmul, maximum, mean, minimum, sqrt, tensordot, where

__all__ = ["matmul", "maximum", "mean", "minimum", "sqrt", "tensordot", "where"]
