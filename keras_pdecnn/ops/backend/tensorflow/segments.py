"""A gradient that keeps one state per segment of steps, and goes through the segments backwards."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import tensorflow as tf

from keras_pdecnn.ops.backend.tensorflow import stored
from keras_pdecnn.ops.backend.tensorflow.loops import arrays, place, repeat, unset, write
from keras_pdecnn.ops.theta import Theta


@dataclass(frozen=True)
class SegmentGradient:
    """A rule for the gradient of one segment of steps, which needs one kept state.

    Attributes:
        keeps: Name of the state of the segment that is kept, "first" or "last".
        pull_back: Function (integrator, field, theta, h, state, cotangent, first) -> (cotangent, pieces). It receives
            the weights of the segment, the kept state, the cotangent of the last state and the index of the first step.
            It returns the cotangent of the first state and the gradients of the weights. These are a list of pairs
            (index of a step within the segment, gradients of the steps from there on), in any order, which together
            cover all steps of the segment.
    """

    keeps: str
    pull_back: Callable


def propagate(
    integrator, field, theta: Theta, h, state: tuple, length: int, rule: SegmentGradient, stored_steps: int
) -> tuple:
    """Advance the state over all N steps of theta; the gradient needs the memory of N / length states.

    One loop carries the cotangent and the recomputed states together. If the recomputation depended on the forward
    pass alone, TensorFlow would run it ahead of the gradients, for all segments at once.

    Args:
        integrator: Time integrator.
        field: Right-hand side.
        theta: Weights stacked in time.
        h: Step size; no gradient is taken with respect to it.
        state: State at time 0, a tuple of tensors.
        length: Number of steps of a segment; the last segment has the remaining steps.
        rule: Rule for the gradient of a segment.
        stored_steps: Number of steps at the end, fewer than N, that belong to no segment: their activations are kept.

    Returns:
        State at time N h, a tuple of tensors.
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
        # Weights are arguments: a variable that is read inside a custom gradient would have no gradient.
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
            # All gradients are written into one tensor: to join them at the end would need twice the memory.
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
                # A segment waits for the one after it. Otherwise TensorFlow could recompute all segments at once.
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
