"""Reversible backpropagation: steps are undone when their gradient is due, so one state is kept for all."""

from __future__ import annotations

import itertools

import tensorflow as tf

from keras_pdecnn.ops.backprop.loops import arrays, at, repeat, write
from keras_pdecnn.ops.backprop.segments import SegmentGradient
from keras_pdecnn.ops.backprop.segments import propagate as propagate_segments

# The gradients of all steps are collected in so many parts: joining them needs room for one part more, and the graph
# does not grow with depth.
_PARTS = 4


def _undo(integrator, field, theta_j, h, state, cotangent):
    """Undo one step and take its gradient, with one evaluation of F per shear."""
    state, cotangent, gradients = list(state), list(cotangent), {}
    for update in reversed(integrator.updates):
        source = state[update.source]
        with tf.GradientTape() as tape:
            tape.watch((source, theta_j))
            increment = update.increment(field.bind(theta_j), h, source)
        of_source, of_theta = tape.gradient(increment, (source, theta_j), output_gradients=cotangent[update.target])
        state[update.target] -= increment
        cotangent[update.source] += of_source
        for name, value in of_theta.items():
            if value is not None:
                gradients[name] = gradients[name] + value if name in gradients else value
    return tuple(state), tuple(cotangent), gradients


def _pull_back(integrator, field, theta, h, state, cotangent):
    steps = theta["kernel"].shape[0]
    gradients = {name: tf.zeros_like(weight) for name, weight in theta.items()}
    parts = _PARTS if steps >= 8 * _PARTS else 1
    bounds = [steps * part // parts for part in range(parts + 1)]
    for first, end in reversed(list(itertools.pairwise(bounds))):

        def undo(i, carry, first=first, end=end):
            state, cotangent, found = carry
            j = end - 1 - i
            state, cotangent, of_step = _undo(integrator, field, at(theta, j), h, state, cotangent)
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
