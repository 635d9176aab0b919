"""Operations that keep the type of their arguments: under JAX and PyTorch, those of Keras round float64 to float32."""

from __future__ import annotations

from keras import backend

match backend.backend():
    case "jax":
        from jax.numpy import matmul, maximum, mean, minimum, sqrt, tensordot, where
    case "torch":
        from keras_pdecnn.ops.backend.torch.exact import matmul, maximum, mean, minimum, sqrt, tensordot, where
    case _:
        from keras.ops import matmul, maximum, mean, minimum, sqrt, tensordot, where

__all__ = ["matmul", "maximum", "mean", "minimum", "sqrt", "tensordot", "where"]
