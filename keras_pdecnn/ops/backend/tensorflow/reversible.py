"""Reversible backpropagation: steps are undone when their gradient is due, so one state is kept for all."""

from __future__ import annotations

import tensorflow as tf

from keras_pdecnn.ops.backend.tensorflow.loops import arrays, repeat, write
from keras_pdecnn.ops.reversal import undo_and_pull_back
from keras_pdecnn.ops.theta import Theta

# Number of parts in which the gradients of all steps are collected. To place one part needs the memory of two more, and
# the graph does not grow with depth.
_PARTS = 8


def pull_back(integrator, field, theta: Theta, h, state, cotangent, first):
    """Pull a cotangent back through the steps of a segment, see `segments.SegmentGradient`."""
    steps = theta.steps
    length = -(-steps // _PARTS) if steps >= 8 * _PARTS else steps

    # One function for all parts, also the shorter last one: several graphs would need more memory.
    @tf.function(autograph=False, experimental_attributes={"_noinline": True})
    def undo_part(end, state, cotangent, weights, first):
        count = tf.minimum(end, length)
        theta = Theta(weights)

        def undo(i, carry):
            state, cotangent, gradients = carry
            j = end - 1 - i
            state, cotangent, of_step = undo_and_pull_back(
                integrator, field, theta.at(j), h, state, cotangent, first + j
            )
            return state, cotangent, write(gradients, length - 1 - i, of_step)

        empty = arrays(length, theta.at(0))
        until = None if length == steps else count
        state, cotangent, gradients = repeat(length, undo, (state, cotangent, empty), until)
        return end - count, state, cotangent, {name: array.stack() for name, array in gradients.items()}

    state, cotangent, pieces = tuple(state), tuple(cotangent), []
    # Tensors, as TensorFlow would trace another function for each constant.
    end, first = tf.constant(steps), tf.convert_to_tensor(first)
    for last in range(steps, 0, -length):
        end, state, cotangent, gradients = undo_part(end, state, cotangent, dict(theta), first)
        count = min(length, last)
        pieces.append((last - count, {name: value[length - count :] for name, value in gradients.items()}))
    return cotangent, pieces
