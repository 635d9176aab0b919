"""Checkpointing: the first state of each segment is kept, its steps are computed again for their gradient."""

from __future__ import annotations

import math

import tensorflow as tf

from keras_pdecnn.ops.backprop import stored
from keras_pdecnn.ops.backprop.segments import SegmentGradient
from keras_pdecnn.ops.backprop.segments import propagate as propagate_segments


def _pull_back(integrator, field, theta, h, state, cotangent):
    with tf.GradientTape() as tape:
        tape.watch((state, theta))
        last = stored.propagate(integrator, field, theta, h, state)
    cotangent, gradients = tape.gradient(last, (state, theta), output_gradients=cotangent, unconnected_gradients="zero")
    return cotangent, [(0, gradients)]


def propagate(integrator, field, theta: dict, h, state: tuple, every: int | None, stored_steps: int) -> tuple:
    """Advance the state over all N steps of theta, keeping one state every so many steps.

    Args:
        integrator: The one-step method.
        field: The right-hand side.
        theta: Weights stacked in time.
        h: Step size.
        state: Tuple of tensors, the state at time 0.
        every: Number of steps between two kept states; None for ceil(sqrt(N)), with which kept states and the
            activations of one segment together grow like sqrt(N).
        stored_steps: Number of last steps, fewer than N, whose activations are kept.
    """
    every = every or math.isqrt(theta["kernel"].shape[0] - 1) + 1
    rule = SegmentGradient("first", _pull_back)
    return propagate_segments(integrator, field, theta, h, state, every, rule, stored_steps)
