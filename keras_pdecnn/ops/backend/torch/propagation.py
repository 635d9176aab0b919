"""The loop over the steps in PyTorch, forwards and backwards, with a choice of gradient."""

from __future__ import annotations

from collections.abc import Callable

import keras
import torch
from torch.autograd.function import once_differentiable
from torch.utils import checkpoint

from keras_pdecnn.ops.backend.segmented import advance_segments
from keras_pdecnn.ops.backprop import Backprop, Checkpointed, Reversible, Stored
from keras_pdecnn.ops.fields import Field
from keras_pdecnn.ops.integrators import Integrator
from keras_pdecnn.ops.reversal import undo_and_pull_back
from keras_pdecnn.ops.theta import Theta


def propagate(integrator: Integrator, field: Field, theta: Theta, h, state: tuple, backprop: Backprop) -> tuple:
    """Advance the state by all steps, see `ops.propagate`."""
    h = h.detach() if isinstance(h, torch.Tensor) else h
    return advance_segments(_ADVANCE, integrator, field, theta, h, state, backprop)


def _advance(integrator, field, theta, h, state, first: int = 0) -> tuple:
    """Advance the state over all steps of theta, whose first has the index `first`."""
    for j in range(theta.steps):
        state = integrator.step(field.bind(theta.at(j)), h, state, first + j)
    return tuple(state)


def _checkpointed(integrator, field, theta, h, state, first):
    """Advance the state over a segment whose activations are computed again for its gradient."""
    names, parts = list(theta), len(state)

    def run(*tensors):
        weights = Theta(zip(names, tensors[parts:], strict=True))
        return _advance(integrator, field, weights, h, tensors[:parts], first)

    return tuple(checkpoint.checkpoint(run, *state, *theta.values(), use_reentrant=False, preserve_rng_state=False))


def _reversible(integrator, field, theta, h, state, first):
    """Advance the state over a segment whose steps are undone for its gradient."""
    return _Reversible.apply((integrator, field, h, first, list(theta), len(state)), *state, *theta.values())


class _Reversible(torch.autograd.Function):
    """Keeps the last state of a segment and its weights, and undoes the steps in the backward pass."""

    @staticmethod
    def forward(ctx, settings, *tensors):
        integrator, field, h, first, names, parts = settings
        weights = Theta(zip(names, tensors[parts:], strict=True))
        last = _advance(integrator, field, weights, h, tensors[:parts], first)
        # A part that no update changes would be an input that is returned.
        last = tuple(new.clone() if new is old else new for new, old in zip(last, tensors[:parts], strict=True))
        ctx.settings = settings
        ctx.save_for_backward(*last, *weights.values())
        return last

    @staticmethod
    @once_differentiable
    def backward(ctx, *cotangent):
        integrator, field, h, first, names, parts = ctx.settings
        state, theta = ctx.saved_tensors[:parts], Theta(zip(names, ctx.saved_tensors[parts:], strict=True))
        gradients = {name: torch.empty_like(weight) for name, weight in theta.items()}
        for j in reversed(range(theta.steps)):
            state, cotangent, of_step = undo_and_pull_back(
                integrator, field, theta.at(j), h, state, cotangent, first + j
            )
            for name, gradient in of_step.items():
                gradients[name][j] = gradient
        return None, *cotangent, *gradients.values()


_ADVANCE = {Stored: _advance, Checkpointed: _checkpointed, Reversible: _reversible}


def advance_plain(integrator: Integrator, field: Field, theta: Theta, h, state: tuple) -> tuple:
    """Advance the state by all steps, with PyTorch's own gradient."""
    return _advance(integrator, field, theta, h, state)


def undo(integrator: Integrator, field: Field, theta: Theta, h, state: tuple) -> tuple:
    """Go back by all steps, see `ops.undo`."""
    for j in reversed(range(theta.steps)):
        state = integrator.undo(field.bind(theta.at(j)), h, state, j)
    return tuple(state)


def trajectory(integrator: Integrator, field: Field, theta: Theta, h, state: tuple, read: Callable):
    """Return what is read of the states at all times, see `ops.trajectory`."""
    values = [read(tuple(state))]
    for j in range(theta.steps):
        state = integrator.step(field.bind(theta.at(j)), h, state, j)
        values.append(read(state))
    return keras.tree.map_structure(lambda *entries: torch.stack(entries), *values)
