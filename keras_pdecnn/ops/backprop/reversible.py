"""Reversible backpropagation: steps are undone when their gradient is due, so one state is kept for all."""

from __future__ import annotations

import tensorflow as tf

from keras_pdecnn.ops.backprop.loops import at, put, repeat
from keras_pdecnn.ops.backprop.segments import SegmentGradient
from keras_pdecnn.ops.backprop.segments import propagate as propagate_segments


def _pull_back(integrator, field, theta, h, first, steps, state, cotangent, gradients):
    def undo(i, carry):
        """Undo the step from t_j to t_{j+1}, and take its gradient, with one evaluation of F per shear."""
        state, cotangent, gradients = carry
        j = first + steps - 1 - i
        theta_j = at(theta, j)
        state, cotangent, of_step = list(state), list(cotangent), {}
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
                    of_step[name] = of_step[name] + value if name in of_step else value
        return tuple(state), tuple(cotangent), put(gradients, j, {name: value[None] for name, value in of_step.items()})

    _, cotangent, gradients = repeat(steps, undo, (tuple(state), tuple(cotangent), gradients))
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
