"""A gradient that keeps the state only between segments of steps and goes through the segments backwards."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import tensorflow as tf

from keras_pdecnn.ops.backprop.loops import at, put, repeat


@dataclass(frozen=True)
class SegmentGradient:
    """How the gradient of one segment of steps is taken from one kept state.

    Attributes:
        keeps: Which state of the segment is kept: its "first" or its "last".
        pull_back: Function (integrator, field, theta, h, first, steps, state, cotangent, gradients) -> (cotangent,
            gradients) for the segment of the steps from t_first. It takes the kept state and the cotangent of the last
            state, and returns the cotangent of the first, and the gradients with the entries of the segment written.
    """

    keeps: str
    pull_back: Callable


def propagate(integrator, field, theta: dict, h, state: tuple, length: int, rule: SegmentGradient) -> tuple:
    """Advance the state over all N steps of theta; the gradient needs the memory of N / length states.

    The cotangent and the recomputed states travel through one loop together. Recomputation that depended on the
    forward pass alone would be run ahead of the gradients, all segments at once.

    Args:
        integrator: The one-step method.
        field: The right-hand side.
        theta: Weights stacked in time.
        h: Step size; no gradient is taken with respect to it.
        state: Tuple of tensors, the state at time 0.
        length: Number of steps of a segment; the last one takes what is left.
        rule: How the gradient of a segment is taken.

    Returns:
        The state at time N h.
    """
    steps = theta["kernel"].shape[0]
    count, rest = divmod(steps, min(length, steps))
    length = min(length, steps)
    names, parts = list(theta), len(state)

    def advance(theta, first, steps, state):
        return repeat(steps, lambda j, state: integrator.step(field.bind(at(theta, first + j)), h, state), state)

    @tf.custom_gradient
    def run(*tensors):
        # Weights arrive as explicit tensors: a variable read in here would have no gradient.
        state, theta = tensors[:parts], dict(zip(names, tensors[parts:], strict=True))

        def keep(first, after):
            return first if rule.keeps == "first" else after

        if count == 1:
            between = advance(theta, 0, length, state)
            kept = {k: part[None] for k, part in enumerate(keep(state, between))}
        else:

            def segment(i, carry):
                state, kept = carry
                after = advance(theta, i * length, length, state)
                return after, put(kept, i, {k: part[None] for k, part in enumerate(keep(state, after))})

            kept = {k: tf.zeros(tf.concat([[count], tf.shape(part)], 0), part.dtype) for k, part in enumerate(state)}
            between, kept = repeat(count, segment, (state, kept))
        last = advance(theta, count * length, rest, between) if rest else between

        def pull_back(first, steps, state, carry):
            return rule.pull_back(integrator, field, theta, h, first, steps, state, *carry)

        def gradient(*cotangent):
            # One array for the gradients of all steps, written entry by entry: copies of it would grow with depth.
            carry = cotangent, {name: tf.zeros_like(weight) for name, weight in theta.items()}
            if rest:
                carry = pull_back(count * length, rest, keep(between, last), carry)

            def segment(i, carry):
                k = count - 1 - i
                return pull_back(k * length, length, tuple(at(kept, k).values()), carry)

            cotangent, gradients = repeat(count, segment, carry)
            return *cotangent, *gradients.values()

        return last, gradient

    return run(*state, *(tf.convert_to_tensor(weight) for weight in theta.values()))
