"""The shape of features for which TensorFlow's fused operations of batch normalisation are fast."""

from __future__ import annotations

import tensorflow as tf


def flat(x):
    """Return features of shape (batch, *space, channels) in the shape (pixels, 1, 1, channels)."""
    return tf.reshape(x, [-1, 1, 1, x.shape[-1]])


def like(x, flat):
    """Return flat features in the shape of x."""
    y = tf.reshape(flat, tf.shape(x))
    y.set_shape(x.shape)  # tf.ensure_shape has no forward-mode derivative in a graph
    return y
