"""A gradient that keeps the state only between segments of steps and goes through the segments backwards."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import tensorflow as tf

from keras_pdecnn.ops.backprop.loops import at, put, repeat, window


@dataclass(frozen=True)
class SegmentGradient:
    """How the gradient of one segment of steps is taken from one kept state.

    Attributes:
        keeps: Which state of the segment is kept: its "first" or its "last".
        pull_back: Function (integrator, field, theta, h, state, cotangent) -> (cotangent, gradients) of the weights of
            the segment, the kept state and the cotangent of its last state; it returns the cotangent of its first
            state and the gradients of the weights.
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

        def segment(i, carry):
            state, kept = carry
            after = advance(theta, i * length, length, state)
            return after, put(kept, i, dict(enumerate(state if rule.keeps == "first" else after)))

        kept = {k: tf.zeros(tf.concat([[count], tf.shape(part)], 0), part.dtype) for k, part in enumerate(state)}
        between, kept = repeat(count, segment, (state, kept))
        last = advance(theta, count * length, rest, between) if rest else between

        def pull_back(first, steps, state, cotangent, gradients):
            """Go through one segment; what it finds is written into the gradients of all steps."""
            cotangent, found = rule.pull_back(integrator, field, window(theta, first, steps), h, state, cotangent)
            rows = (first + tf.range(steps))[:, None]
            return cotangent, {
                name: tf.tensor_scatter_nd_update(gradients[name], rows, gradient) for name, gradient in found.items()
            }

        def gradient(*cotangent):
            carry = cotangent, {name: tf.zeros_like(weight) for name, weight in theta.items()}
            if rest:
                carry = pull_back(count * length, rest, between if rule.keeps == "first" else last, *carry)
            carry = repeat(
                count,
                lambda i, carry: pull_back(
                    (count - 1 - i) * length, length, tuple(at(kept, count - 1 - i).values()), *carry
                ),
                carry,
            )
            return *carry[0], *carry[1].values()

        return last, gradient

    return run(*state, *(tf.convert_to_tensor(weight) for weight in theta.values()))
