"""Propagation of a state over all steps of a block, forwards and backwards."""

from __future__ import annotations

from keras_pdecnn.ops.fields import Field
from keras_pdecnn.ops.integrators import Integrator


def number_of_steps(theta: dict) -> int:
    """Return N, the length of the time axis of the weights."""
    return theta["kernel"].shape[0]


def at(theta: dict, j) -> dict:
    """Return the weights at time t_j."""
    return {name: weight[j] for name, weight in theta.items()}


def right_hand_side(field: Field, theta: dict):
    """Return F(index, x, factor) for the weights of one time."""
    return lambda index, x, factor=1.0: field(theta, index, x, factor)


def propagate(integrator: Integrator, field: Field, theta: dict, h, state: tuple) -> tuple:
    """Advance a state by N steps, N the length of the time axis of theta.

    Args:
        integrator: The one-step method.
        field: The right-hand side.
        theta: Weights stacked in time: `kernel` (N, fields, *kernel_size, c, filters), `scale` and `bias`
            (N, fields, filters) where they exist.
        h: Step size.
        state: Tuple of tensors, the state at time 0.

    Returns:
        The state at time N h.
    """
    for j in range(number_of_steps(theta)):
        state = integrator.step(right_hand_side(field, at(theta, j)), h, state)
    return state


def undo(integrator: Integrator, field: Field, theta: dict, h, state: tuple) -> tuple:
    """Go back from the state at time N h to the state at time 0; the integrator must be reversible."""
    for j in reversed(range(number_of_steps(theta))):
        state = integrator.undo(right_hand_side(field, at(theta, j)), h, state)
    return state


def trajectory(integrator: Integrator, field: Field, theta: dict, h, state: tuple) -> list[tuple]:
    """Return the states at the times 0, h, …, N h."""
    states = [state]
    for j in range(number_of_steps(theta)):
        states.append(integrator.step(right_hand_side(field, at(theta, j)), h, states[-1]))
    return states
