"""The loop over the steps, forwards and backwards, in the three gradient modes."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import keras
import tensorflow as tf

from keras_pdecnn.ops.backend.tensorflow import checkpointed, reversible, segments, stored
from keras_pdecnn.ops.backend.tensorflow.loops import arrays, repeat, write
from keras_pdecnn.ops.backend.tensorflow.theta import RowTheta
from keras_pdecnn.ops.backprop import Backprop, Checkpointed, Reversible, Stored
from keras_pdecnn.ops.fields import Field
from keras_pdecnn.ops.integrators import Integrator
from keras_pdecnn.ops.theta import Theta

_RULES = {
    Checkpointed: segments.SegmentGradient("first", checkpointed.pull_back),
    Reversible: segments.SegmentGradient("last", reversible.pull_back),
}


def propagate(integrator: Integrator, field: Field, theta: Theta, h, state: tuple, backprop: Backprop) -> tuple:
    """Advance the state by all steps, see `ops.propagate`."""
    h = _constant(h)
    if isinstance(backprop, Stored):
        return stored.propagate(integrator, field, theta, h, state, frugal=False)
    if theta.steps <= backprop.stored_steps:
        return stored.propagate(integrator, field, theta, h, state)
    length, rule = backprop.segment(theta.steps), _RULES[type(backprop)]
    return segments.propagate(integrator, field, theta, h, state, length, rule, backprop.stored_steps)


def advance_plain(integrator: Integrator, field: Field, theta: Theta, h, state: tuple) -> tuple:
    """Advance the state by all steps in plain operations, so that TensorFlow can differentiate them and export that."""
    return _advance(integrator, dataclasses.replace(field, plain=True), RowTheta(theta), h, state)


def _advance(integrator, field, theta, h, state):
    return repeat(theta.steps, lambda j, state: integrator.step(field.bind(theta.at(j)), h, state, j), tuple(state))


def undo(integrator: Integrator, field: Field, theta: Theta, h, state: tuple) -> tuple:
    """Undo all steps, see `ops.undo`."""

    def undo_step(i, state):
        j = theta.steps - 1 - i
        return integrator.undo(field.bind(theta.at(j)), h, state, j)

    return repeat(theta.steps, undo_step, tuple(state))


def trajectory(integrator: Integrator, field: Field, theta: Theta, h, state: tuple, read: Callable):
    """Return what `read` returns for the states at all times, see `ops.trajectory`."""

    def values(state):
        return dict(enumerate(keras.tree.flatten(read(state))))

    def advance(j, carry):
        state, kept = carry
        state = integrator.step(field.bind(theta.at(j)), h, state, j)
        return state, write(kept, j + 1, values(state))

    start = tuple(state)
    kept = write(arrays(theta.steps + 1, values(start)), 0, values(start))
    _, kept = repeat(theta.steps, advance, (start, kept))
    return keras.tree.pack_sequence_as(read(start), [array.stack() for array in kept.values()])


def _constant(h):
    return tf.stop_gradient(h) if tf.is_tensor(h) else h
