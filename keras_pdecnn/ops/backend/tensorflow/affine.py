"""Scale, shift and activation of each channel, in one pass over the features."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from keras_pdecnn.ops import affine
from keras_pdecnn.ops.backend.tensorflow import pixels, runtime


def activated(activation: Callable, u, scale=None, bias=None):
    """Return activation(scale * u + bias), see `ops.affine.activated`.

    On a CPU, scale and shift are those of TensorFlow's batch normalisation with mean 0 and variance 1. It takes one
    pass, together with a ReLU after it, and one more for all three gradients.
    """
    is_fused = scale is not None and u.dtype == tf.float32 and not runtime.has_accelerator()
    if not is_fused or any(weight is not None and weight.shape != u.shape[-1:] for weight in (scale, bias)):
        return affine.activated_in_float32(activation, u, scale, bias)
    zero = tf.zeros_like(scale)
    scaled, *_ = tf.raw_ops.FusedBatchNormV3(
        x=pixels.flat(u),
        scale=scale,
        offset=zero if bias is None else bias,
        mean=zero,
        variance=tf.ones_like(scale),
        epsilon=0.0,
        is_training=False,
    )
    return pixels.like(u, activation(scaled))
