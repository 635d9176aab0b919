"""Reversible backpropagation: steps are undone when their gradient is due, so one state is kept for all.

The shear x1 += f F(x0) is undone by x1 -= f F(x0), and its gradient is w0 += f F'(x0)^T w1, w the cotangent of the
state: one evaluation of F serves both.
"""

from __future__ import annotations

import tensorflow as tf

from keras_pdecnn.ops.backprop.evaluation import evaluate
from keras_pdecnn.ops.backprop.loops import arrays, at, repeat, write
from keras_pdecnn.ops.backprop.segments import SegmentGradient
from keras_pdecnn.ops.backprop.segments import propagate as propagate_segments

# The gradients of all steps are collected in so many parts: placing one needs room for two parts more, and the graph
# does not grow with depth.
_PARTS = 8


def _undo(integrator, field, theta_j, h, state, cotangent):
    """Undo one step; return the state and the cotangent before it, and the gradients of the weights of the step."""
    state, cotangent = list(state), list(cotangent)
    theta = {name: tf.unstack(weight) for name, weight in theta_j.items()}
    gradients: dict[tuple[str, int], tf.Tensor] = {}
    for update in reversed(integrator.updates):
        x, w = state[update.source], cotangent[update.target]
        if update.field is None:
            increment, of_x = (update.increment(None, h, part) for part in (x, w))
        else:
            increment, of_x, found = evaluate(field, theta, update.field, x, w, update.factor(h))
            gradients |= {key: gradients.get(key, 0) + value for key, value in found.items()}
        # The state waits for the cotangent: undone ahead of it, all its temporaries would be there at the same time.
        with tf.control_dependencies([of_x]):
            state[update.target] -= increment
        cotangent[update.source] += of_x
    gradients = {
        name: tf.stack([gradients.get((name, i), tf.zeros_like(weight)) for i, weight in enumerate(weights)])
        for name, weights in theta.items()
    }
    return tuple(state), tuple(cotangent), gradients


def _pull_back(integrator, field, theta, h, state, cotangent):
    steps = theta["kernel"].shape[0]
    length = -(-steps // _PARTS) if steps >= 8 * _PARTS else steps

    # One function for all parts, the shorter last one too: each graph of its own would take memory.
    @tf.function(autograph=False, experimental_attributes={"_noinline": True})
    def undo_part(end, state, cotangent, theta):
        count = tf.minimum(end, length)

        def undo(i, carry):
            state, cotangent, found = carry
            state, cotangent, of_step = _undo(integrator, field, at(theta, end - 1 - i), h, state, cotangent)
            return state, cotangent, write(found, length - 1 - i, of_step)

        empty = arrays(length, at(theta, 0))
        until = None if length == steps else count
        state, cotangent, found = repeat(length, undo, (state, cotangent, empty), until)
        return end - count, state, cotangent, {name: array.stack() for name, array in found.items()}

    state, cotangent, pieces = tuple(state), tuple(cotangent), []
    # Passed on as a tensor: TensorFlow would make another function for each constant.
    end = tf.constant(steps)
    for last in range(steps, 0, -length):
        end, state, cotangent, found = undo_part(end, state, cotangent, theta)
        count = min(length, last)
        pieces.append((last - count, {name: value[length - count :] for name, value in found.items()}))
    return cotangent, pieces


def propagate(integrator, field, theta: dict, h, state: tuple, every: int | None, stored_steps: int) -> tuple:
    """Advance the state over all N steps of theta, keeping the last state alone.

    Args:
        integrator: The one-step method, of shears only.
        field: The right-hand side.
        theta: Weights stacked in time.
        h: Step size.
        state: Tuple of tensors, the state at time 0.
        every: Number of steps after which a state is kept all the same, which bounds the loss of digits by that of so
            many steps; None for never.
        stored_steps: Number of last steps, fewer than N, whose activations are kept.
    """
    every = every or theta["kernel"].shape[0]
    return propagate_segments(
        integrator, field, theta, h, state, every, SegmentGradient("last", _pull_back), stored_steps
    )
