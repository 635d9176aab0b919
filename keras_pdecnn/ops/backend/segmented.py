"""The loop over the segments of a propagation, which JAX and PyTorch have in common."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from keras_pdecnn.ops.backprop import Backprop, Stored
from keras_pdecnn.ops.fields import Field
from keras_pdecnn.ops.integrators import Integrator
from keras_pdecnn.ops.theta import Theta


def advance_segments(
    advance: Mapping[type[Backprop], Callable],
    integrator: Integrator,
    field: Field,
    theta: Theta,
    h,
    state: tuple,
    backprop: Backprop,
) -> tuple:
    """Advance the state by all steps, segment by segment, and store the activations of the last steps.

    Args:
        advance: Functions (integrator, field, theta, h, state, first) -> state, one for each gradient mode. Each
            advances the state over all steps of its theta, whose first has the index `first`.
        integrator: Time integrator.
        field: Right-hand side.
        theta: Weights stacked in time.
        h: Step size, of which no gradient is taken.
        state: State at time 0, a tuple of tensors.
        backprop: Gradient mode.
    """
    if isinstance(backprop, Stored) or theta.steps <= backprop.stored_steps:
        return advance[Stored](integrator, field, theta, h, state, 0)
    steps = theta.steps - backprop.stored_steps
    length = min(backprop.segment(theta.steps), steps)
    for first in range(0, steps, length):
        part = theta.window(first, min(length, steps - first))
        state = advance[type(backprop)](integrator, field, part, h, state, first)
    return advance[Stored](integrator, field, theta.window(steps, backprop.stored_steps), h, state, steps)
