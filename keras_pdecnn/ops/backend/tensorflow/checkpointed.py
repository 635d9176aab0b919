"""Checkpointing: keep the first state of each segment, and compute its steps again for their gradient."""

from __future__ import annotations

import tensorflow as tf

from keras_pdecnn.ops.backend.tensorflow import stored
from keras_pdecnn.ops.theta import Theta


def pull_back(integrator, field, theta, h, state, cotangent, first):
    """Pull a cotangent back through the steps of a segment, see `segments.SegmentGradient`."""
    state, weights = tuple(state), dict(theta)
    with tf.GradientTape() as tape:
        tape.watch((state, weights))
        last = stored.propagate(integrator, field, Theta(weights), h, state, first)
    cotangent, gradients = tape.gradient(
        last, (state, weights), output_gradients=cotangent, unconnected_gradients="zero"
    )
    return cotangent, [(0, gradients)]
