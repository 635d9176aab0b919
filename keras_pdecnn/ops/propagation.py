"""Propagation of a state over all steps of a block, forwards and backwards, with a choice of gradient."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import keras

from keras_pdecnn.ops.backprop import checkpointed, reversible, stored
from keras_pdecnn.ops.backprop.loops import arrays, at, repeat, row, write
from keras_pdecnn.ops.fields import Field
from keras_pdecnn.ops.integrators import Integrator
from keras_pdecnn.utils import arguments

BACKPROPS = ("reversible", "checkpointed", "stored")


def propagate(
    integrator: Integrator,
    field: Field,
    theta: dict,
    h,
    state: tuple,
    backprop: str = "stored",
    checkpoint_every: int | None = None,
    stored_steps: int = 0,
) -> tuple:
    """Advance a state by N steps, N the length of the time axis of theta.

    Args:
        integrator: The one-step method.
        field: The right-hand side.
        theta: Weights stacked in time: `kernel` (N, fields, *kernel_size, c, filters), `scale` and `bias`
            (N, fields, filters) where they exist.
        h: Step size, a number or a scalar tensor; no gradient is taken with respect to it.
        state: Tuple of tensors, the state at time 0.
        backprop: How the gradient is taken. "stored" (default) keeps the activations of every step; "checkpointed"
            keeps a state every so many steps and computes the others again; "reversible" keeps the last state and
            undoes the steps, for integrators that consist of shears.
        checkpoint_every: Steps between two kept states; by default ceil(sqrt(N)) for "checkpointed", and none but the
            last for "reversible".
        stored_steps: Number of last steps whose activations are kept in every mode; default 0.

    Returns:
        The state at time N h.

    Raises:
        ValueError: If `backprop` is none of these, or "reversible" for an integrator that cannot be run backwards.

    Example:
        >>> theta = {"kernel": keras.ops.zeros((5, 1, 3, 3, 4, 4))}
        >>> field = keras_pdecnn.ops.Field(keras.activations.relu)
        >>> state = keras_pdecnn.ops.leapfrog.start(keras.ops.ones((1, 8, 8, 4)))
        >>> len(propagate(keras_pdecnn.ops.leapfrog, field, theta, 0.1, state, backprop="reversible"))
        2
    """
    arguments.check_choice("backprop", backprop, BACKPROPS)
    if backprop == "reversible":
        _check_reversible(integrator)
    steps = theta["kernel"].shape[0]
    if backprop == "stored" or steps <= stored_steps:
        return stored.propagate(integrator, field, theta, h, state)
    mode = {"checkpointed": checkpointed, "reversible": reversible}[backprop]
    return mode.propagate(integrator, field, theta, h, state, checkpoint_every, stored_steps)


def advance(integrator: Integrator, field: Field, theta: dict, h, state: tuple) -> tuple:
    """Advance a state by all steps in plain operations, whose gradient TensorFlow can take and export."""
    field = dataclasses.replace(field, plain=True)
    steps = theta["kernel"].shape[0]
    return repeat(steps, lambda j, state: integrator.step(field.bind(row(theta, j)), h, state), tuple(state))


def undo(integrator: Integrator, field: Field, theta: dict, h, state: tuple) -> tuple:
    """Go back from the state at time N h to the state at time 0, up to rounding.

    Args:
        integrator: The one-step method, which must be reversible.
        field: The right-hand side.
        theta: Weights stacked in time, as for `propagate`.
        h: Step size.
        state: The state at time N h.

    Returns:
        The state at time 0.

    Raises:
        ValueError: If the integrator cannot be run backwards.

    Example:
        >>> theta = {"kernel": keras.ops.ones((5, 1, 3, 3, 4, 4))}
        >>> field = keras_pdecnn.ops.Field(keras.activations.relu)
        >>> state = keras_pdecnn.ops.leapfrog.start(keras.ops.ones((1, 8, 8, 4)))
        >>> last = propagate(keras_pdecnn.ops.leapfrog, field, theta, 0.01, state)
        >>> back, _ = undo(keras_pdecnn.ops.leapfrog, field, theta, 0.01, last)
        >>> bool(keras.ops.all(abs(back - 1) < 1e-4))
        True
    """
    _check_reversible(integrator)
    steps = theta["kernel"].shape[0]
    return repeat(steps, lambda i, state: integrator.undo(field.bind(at(theta, steps - 1 - i)), h, state), tuple(state))


def trajectory(
    integrator: Integrator, field: Field, theta: dict, h, state: tuple, read: Callable[[tuple], Any] = tuple
):
    """Return what is read of the states at the times 0, h, …, N h, stacked: time on axis 0.

    Args:
        integrator: The one-step method.
        field: The right-hand side.
        theta: Weights stacked in time, see `propagate`.
        h: Step size.
        state: Tuple of tensors, the state at time 0.
        read: Function of a state that returns a tensor or a tuple of tensors; default all parts of the state.

    Returns:
        What `read` returns, each tensor of shape (N + 1, batch, …).

    Example:
        >>> theta = {"kernel": keras.ops.zeros((5, 1, 3, 3, 4, 4))}
        >>> field = keras_pdecnn.ops.Field(keras.activations.relu)
        >>> integrator = keras_pdecnn.ops.leapfrog
        >>> state = integrator.start(keras.ops.ones((1, 8, 8, 4)))
        >>> trajectory(integrator, field, theta, 0.1, state, integrator.finish).shape
        TensorShape([6, 1, 8, 8, 4])
    """
    steps = theta["kernel"].shape[0]

    def values(state):
        return dict(enumerate(keras.tree.flatten(read(state))))

    def advance(j, carry):
        state, kept = carry
        state = integrator.step(field.bind(at(theta, j)), h, state)
        return state, write(kept, j + 1, values(state))

    start = tuple(state)
    _, kept = repeat(steps, advance, (start, write(arrays(steps + 1, values(start)), 0, values(start))))
    return keras.tree.pack_sequence_as(read(start), [array.stack() for array in kept.values()])


def _check_reversible(integrator: Integrator):
    if not integrator.is_reversible:
        raise ValueError(f"Only an integrator of shears can be run backwards. Received: integrator={integrator.name!r}")
