"""The loop over the steps in JAX, forwards and backwards, with a choice of gradient."""

from __future__ import annotations

import numbers
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from keras_pdecnn.ops.backend.jax.loops import scan
from keras_pdecnn.ops.backend.segmented import advance_segments
from keras_pdecnn.ops.backprop import Backprop, Checkpointed, Reversible, Stored
from keras_pdecnn.ops.fields import Field
from keras_pdecnn.ops.integrators import Integrator
from keras_pdecnn.ops.reversal import undo_and_pull_back
from keras_pdecnn.ops.theta import Theta


def propagate(integrator: Integrator, field: Field, theta: Theta, h, state: tuple, backprop: Backprop) -> tuple:
    """Advance the state by all steps, see `ops.propagate`."""
    h = h if isinstance(h, numbers.Real) else jax.lax.stop_gradient(h)
    return advance_segments(_ADVANCE, integrator, field, theta, h, state, backprop)


def _advance(integrator, field, theta, h, state, first: int = 0) -> tuple:
    """Advance the state over all steps of theta, whose first has the index `first`."""
    if theta.steps == 0:
        return state

    def step(state, entry):
        j, weights = entry
        return integrator.step(field.bind(weights), h, state, j), None

    return scan(step, tuple(state), _entries(theta, first))[0]


def _entries(theta: Theta, first: int) -> tuple:
    """Return what `scan` goes through: the indices of the steps and their weights."""
    return np.arange(first, first + theta.steps), dict(theta)


def _checkpointed(integrator, field, theta, h, state, first):
    """Advance the state over a segment whose activations are computed again for its gradient."""

    @jax.checkpoint
    def run(state, weights):
        return _advance(integrator, field, Theta(weights), h, state, first)

    return run(tuple(state), dict(theta))


def _reversible(integrator, field, theta, h, state, first):
    """Advance the state over a segment whose steps are undone for its gradient."""
    # A step size that is a tensor is an argument, as a custom gradient must not refer to tensors from outside.
    is_number = isinstance(h, numbers.Real)

    @jax.custom_vjp
    def run(state, weights, *tensors):
        return _advance(integrator, field, Theta(weights), h if is_number else tensors[0], state, first)

    def forward(state, weights, *tensors):
        last = run(state, weights, *tensors)
        return last, (last, weights, tensors)

    def backward(residuals, cotangent):
        state, weights, tensors = residuals
        size = h if is_number else tensors[0]

        def undo(carry, entry):
            (state, cotangent), (j, of_step) = carry, entry
            state, cotangent, gradients = undo_and_pull_back(integrator, field, of_step, size, state, cotangent, j)
            return (state, cotangent), gradients

        entries = _entries(Theta(weights), first)
        (_, cotangent), gradients = scan(undo, (state, cotangent), entries, reverse=True)
        return cotangent, gradients, *map(jnp.zeros_like, tensors)

    run.defvjp(forward, backward)
    return run(tuple(state), dict(theta), *(() if is_number else (h,)))


_ADVANCE = {Stored: _advance, Checkpointed: _checkpointed, Reversible: _reversible}


def advance_plain(integrator: Integrator, field: Field, theta: Theta, h, state: tuple) -> tuple:
    """Advance the state by all steps, with JAX's own gradient."""
    return _advance(integrator, field, theta, h, state)


def undo(integrator: Integrator, field: Field, theta: Theta, h, state: tuple) -> tuple:
    """Go back by all steps, see `ops.undo`."""

    def undo_step(state, entry):
        j, weights = entry
        return integrator.undo(field.bind(weights), h, state, j), None

    return scan(undo_step, tuple(state), _entries(theta, 0), reverse=True)[0]


def trajectory(integrator: Integrator, field: Field, theta: Theta, h, state: tuple, read: Callable):
    """Return what is read of the states at all times, see `ops.trajectory`."""

    def step(state, entry):
        j, weights = entry
        state = integrator.step(field.bind(weights), h, state, j)
        return state, read(state)

    _, values = scan(step, tuple(state), _entries(theta, 0))
    return jax.tree.map(lambda first, later: jnp.concatenate([first[None], later]), read(tuple(state)), values)
