"""Reversible backpropagation: steps are undone when their gradient is due, so one state is kept for all.

The shear x1 += f F(x0) is undone by x1 -= f F(x0), and its gradient is w0 += f F'(x0)^T w1, w the cotangent of the
state: one evaluation of F serves both.
"""

from __future__ import annotations

import itertools

import tensorflow as tf

from keras_pdecnn.ops.backprop.evaluation import evaluate
from keras_pdecnn.ops.backprop.loops import arrays, at, repeat, write
from keras_pdecnn.ops.backprop.segments import SegmentGradient
from keras_pdecnn.ops.backprop.segments import propagate as propagate_segments

# The gradients of all steps are collected in so many parts: joining them needs room for two parts more, and the graph
# does not grow with depth.
_PARTS = 8


def _undo(integrator, field, theta_j, h, state, cotangent):
    """Undo one step; return the state and the cotangent before it, and the gradients of the weights of the step."""
    state, cotangent = list(state), list(cotangent)
    theta = {name: tf.unstack(weight) for name, weight in theta_j.items()}
    gradients = {}
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
    # Zeros would become a constant of the graph, which stays in memory beside the copy that is written to.
    gradients = {
        name: tf.raw_ops.Empty(shape=weight.shape.as_list(), dtype=weight.dtype, init=True)
        for name, weight in theta.items()
    }
    parts = _PARTS if steps >= 8 * _PARTS else 1
    bounds = [steps * part // parts for part in range(parts + 1)]

    # One function for the loops of all parts: written into each of them, it would take memory that grows with them.
    @tf.function(autograph=False, experimental_attributes={"_noinline": True})
    def undo_step(j, state, cotangent, theta):
        return _undo(integrator, field, at(theta, j), h, state, cotangent)

    for first, end in reversed(list(itertools.pairwise(bounds))):

        def undo(i, carry, first=first, end=end):
            state, cotangent, found = carry
            j = end - 1 - i
            state, cotangent, of_step = undo_step(j, state, cotangent, theta)
            return state, cotangent, write(found, j - first, of_step)

        empty = arrays(end - first, at(theta, 0))
        state, cotangent, found = repeat(end - first, undo, (tuple(state), tuple(cotangent), empty))
        gradients = {
            name: tf.raw_ops.TensorStridedSliceUpdate(
                input=gradient, begin=[first], end=[end], strides=[1], value=found[name].stack()
            )
            for name, gradient in gradients.items()
        }
    return cotangent, gradients


def propagate(integrator, field, theta: dict, h, state: tuple, every: int | None = None) -> tuple:
    """Advance the state over all N steps of theta, keeping the last state alone.

    Args:
        integrator: The one-step method, of shears only.
        field: The right-hand side.
        theta: Weights stacked in time.
        h: Step size.
        state: Tuple of tensors, the state at time 0.
        every: Number of steps after which a state is kept all the same, which bounds the loss of digits by that of so
            many steps; default None, never.
    """
    every = every or theta["kernel"].shape[0]
    return propagate_segments(integrator, field, theta, h, state, every, SegmentGradient("last", _pull_back))
