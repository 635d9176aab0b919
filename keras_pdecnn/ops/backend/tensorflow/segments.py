"""A gradient that keeps the state only between segments of steps and goes through the segments backwards."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import tensorflow as tf

from keras_pdecnn.ops.backend.tensorflow import stored
from keras_pdecnn.ops.backend.tensorflow.loops import arrays, place, repeat, unset, write
from keras_pdecnn.ops.theta import Theta


@dataclass(frozen=True)
class SegmentGradient:
    """How the gradient of one segment of steps is taken from one kept state.

    Attributes:
        keeps: Which state of the segment is kept: its "first" or its "last".
        pull_back: Function (integrator, field, theta, h, state, cotangent, first) -> (cotangent, pieces) of the
            weights of the segment, the kept state, the cotangent of its last state and the index of its first step. It
            returns the cotangent of its first state and the gradients of the weights, as a list of (step counted from
            the first, gradients from there on) that has all steps of the segment, in any order.
    """

    keeps: str
    pull_back: Callable


def propagate(
    integrator, field, theta: Theta, h, state: tuple, length: int, rule: SegmentGradient, stored_steps: int
) -> tuple:
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
        stored_steps: Number of last steps, fewer than N, that are no part of a segment: their activations are kept.

    Returns:
        The state at time N h.
    """
    steps = theta.steps - stored_steps
    length = min(length, steps)
    count, rest = divmod(steps, length)
    names, parts = list(theta), len(state)

    def advance(theta, first, steps, state):
        def step(i, state):
            j = first + i
            return integrator.step(field.bind(theta.at(j)), h, state, j)

        return repeat(steps, step, state)

    @tf.custom_gradient
    def run(*tensors):
        # Weights arrive as explicit tensors: a variable read in here would have no gradient.
        state, theta = tensors[:parts], Theta(zip(names, tensors[parts:], strict=True))

        def keep(first, after):
            return dict(enumerate(first if rule.keeps == "first" else after))

        def forward(i, carry):
            state, kept = carry
            after = advance(theta, i * length, length, state)
            return after, write(kept, i, keep(state, after))

        kept: dict[int, tf.Tensor] = {}
        if count == 1:
            between = advance(theta, 0, length, state)
        else:
            between, kept = repeat(count, forward, (state, arrays(count, dict(enumerate(state)))))
            # A SavedModel cannot hold a gradient that refers to an array.
            kept = {part: array.stack() for part, array in kept.items()}
        after = advance(theta, count * length, rest, between) if rest else between
        with tf.GradientTape(persistent=True) as tape:
            final = dict(theta.window(steps, stored_steps))
            tape.watch((after, final))
            last = stored.propagate(integrator, field, Theta(final), h, after, steps)

        def pull_back(first, steps, kept, cotangent):
            part = theta.window(first, steps)
            return rule.pull_back(integrator, field, part, h, tuple(kept.values()), cotangent, first)

        def gradient(*cotangent):
            # All gradients are written into one array: joined at the end, they would be in memory twice.
            gradients = unset(theta)
            if stored_steps:
                cotangent, of_final = tape.gradient(
                    last, (after, final), output_gradients=cotangent, unconnected_gradients="zero"
                )
                gradients = place(gradients, steps, of_final)
            if rest:
                cotangent, pieces = pull_back(count * length, rest, keep(between, after), cotangent)
                gradients = _place_all(gradients, pieces, count * length)

            def backward(i, carry):
                cotangent, of_segments = carry
                k = count - 1 - i
                # A segment waits for the one after it: recomputed ahead, all would be in memory at the same time.
                with tf.control_dependencies(cotangent):
                    states = {part: tf.identity(stack[k]) for part, stack in kept.items()}
                cotangent, pieces = pull_back(k * length, length, states, cotangent)
                return cotangent, write(of_segments, k, _place_all(unset(theta.window(0, length)), pieces))

            if count == 1:
                cotangent, pieces = pull_back(0, length, keep(state, between), cotangent)
                gradients = _place_all(gradients, pieces)
            else:
                cotangent, of_segments = repeat(count, backward, (cotangent, arrays(count, theta.window(0, length))))
                joined = {
                    name: tf.ensure_shape(array.concat(), (count * length, *theta[name].shape[1:]))
                    for name, array in of_segments.items()
                }
                gradients = place(gradients, 0, joined)
            return *cotangent, *(gradients[name] for name in names)

        return last, gradient

    return run(*state, *(tf.convert_to_tensor(weight) for weight in theta.values()))


def _place_all(gradients: dict, pieces: list, offset: int = 0) -> dict:
    for first, of_steps in pieces:
        gradients = place(gradients, offset + first, of_steps)
    return gradients
