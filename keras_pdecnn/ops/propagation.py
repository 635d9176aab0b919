"""Propagation of a state over all steps of a block, forwards and backwards, with a choice of gradient."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from keras_pdecnn.ops.backend import propagation
from keras_pdecnn.ops.backprop import Backprop
from keras_pdecnn.ops.backprop import backprop as find_backprop
from keras_pdecnn.ops.fields import Field
from keras_pdecnn.ops.integrators import Integrator
from keras_pdecnn.ops.theta import Theta


def propagate(
    integrator: Integrator,
    field: Field,
    theta: Mapping,
    h,
    state: tuple,
    backprop: str | Backprop = "stored",
    checkpoint_every: int | None = None,
    stored_steps: int = 0,
) -> tuple:
    """Advance a state by N steps, N the length of the time axis of theta.

    Args:
        integrator: The one-step method.
        field: The right-hand side.
        theta: Weights stacked in time, a `Theta` or a dict: `kernel` (N, fields, *kernel_size, c, filters), `scale` and
            `bias` (N, fields, filters) where they exist.
        h: Step size, a number or a scalar tensor; no gradient is taken with respect to it.
        state: Tuple of tensors, the state at time 0.
        backprop: Name of the way to take the gradient, or an object that owns its settings. "stored" (default) keeps
            the activations of every step; "checkpointed" keeps a state every so many steps and computes the others
            again; "reversible" keeps the last state and undoes the steps, for integrators that can be undone.
        checkpoint_every: Number of steps between two kept states. By default it is ceil(sqrt(N)) for "checkpointed",
            and "reversible" keeps the last state alone.
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
    if isinstance(backprop, str):
        backprop = find_backprop(backprop, checkpoint_every, stored_steps)
    backprop.check(integrator)
    integrator.check_state(state)
    return propagation.propagate(integrator, field, Theta(theta), h, tuple(state), backprop)


def advance_plain(integrator: Integrator, field: Field, theta: Mapping, h, state: tuple) -> tuple:
    """Advance a state by all steps in plain operations, whose gradient the backend can take and export."""
    return propagation.advance_plain(integrator, field, Theta(theta), h, tuple(state))


def undo(integrator: Integrator, field: Field, theta: Mapping, h, state: tuple) -> tuple:
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
    integrator.check_reversible()
    integrator.check_state(state)
    return propagation.undo(integrator, field, Theta(theta), h, tuple(state))


def trajectory(
    integrator: Integrator, field: Field, theta: Mapping, h, state: tuple, read: Callable[[tuple], Any] = tuple
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
    integrator.check_state(state)
    return propagation.trajectory(integrator, field, Theta(theta), h, tuple(state), read)
