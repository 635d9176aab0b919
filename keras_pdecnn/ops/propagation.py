"""Propagation of a state over all steps of a block, forwards and backwards, in several gradient modes."""

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
    """Advance a state by N steps, where N is the length of the time axis of theta.

    The argument `backprop` chooses how the gradient is computed, which does not change the result:

    * "stored" keeps the activations of every step;
    * "checkpointed" keeps the state at regular intervals and computes the states between them a second time;
    * "reversible" keeps only the last state and undoes the steps, which needs an integrator that can be undone.

    Args:
        integrator: Time integrator.
        field: Right-hand side.
        theta: Weights stacked in time, a `Theta` or a dict: `kernel` (N, fields, *kernel_size, c, filters), and where
            they exist `scale` and `bias` (N, fields, filters).
        h: Step size, a number or a scalar tensor. In no mode is a gradient taken with respect to it.
        state: State at time 0, a tuple of tensors.
        backprop: Gradient mode, one of the names above (default "stored"), or an object that holds the settings as
            well: `Stored`, `Checkpointed` or `Reversible`. With an object the next two arguments have no effect.
        checkpoint_every: Number of steps between two kept states; default None. "checkpointed" then takes
            ceil(sqrt(N)), and "reversible" keeps only the last state.
        stored_steps: Number of steps at the end whose activations are kept in every mode; default 0.

    Returns:
        State at time N h, a tuple of tensors.

    Raises:
        ValueError: If `backprop` is another name, or "reversible" for an integrator that cannot be run backwards, or if
            an update names a part that the state does not have.

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
    """Advance a state by all steps in plain operations, so that the backend can differentiate them and export that."""
    return propagation.advance_plain(integrator, field, Theta(theta), h, tuple(state))


def undo(integrator: Integrator, field: Field, theta: Mapping, h, state: tuple) -> tuple:
    """Go back from the state at time N h to the state at time 0, up to rounding.

    Args:
        integrator: Time integrator, which must be reversible.
        field: Right-hand side.
        theta: Weights stacked in time, see `propagate`.
        h: Step size.
        state: State at time N h, a tuple of tensors.

    Returns:
        State at time 0, a tuple of tensors.

    Raises:
        ValueError: If the integrator cannot be run backwards, or an update names a part that the state does not have.

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
    """Return the states at the times 0, h, …, N h, stacked with time on axis 0.

    Args:
        integrator: Time integrator.
        field: Right-hand side.
        theta: Weights stacked in time, see `propagate`.
        h: Step size.
        state: State at time 0, a tuple of tensors.
        read: Function that computes, from a state, what is stacked: a tensor or a tuple of tensors. Default: all parts
            of the state. `integrator.finish` gives the features.

    Returns:
        Results of `read`, each a tensor of shape (N + 1, batch, …).

    Raises:
        ValueError: If an update of the integrator names a part that the state does not have.

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
