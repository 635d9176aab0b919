"""Operations that keep float64 under TensorFlow: those of Keras do."""

from __future__ import annotations

import tensorflow as tf
from keras.ops import matmul, maximum, mean, minimum, sqrt, tensordot, where

__all__ = ["matmul", "maximum", "mean", "minimum", "reshape_like", "sqrt", "tensordot", "where"]


def reshape_like(x, like):
    """Return x in the shape of another tensor."""
    # A shape made of parts that are known and parts that are not is optimised in another way, with other last digits.
    return tf.reshape(x, tf.shape(like))
