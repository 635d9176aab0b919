"""Stored activations: plain automatic differentiation of the loop over the steps."""

from __future__ import annotations

from keras_pdecnn.ops.backprop.loops import repeat, series


def propagate(integrator, field, theta: dict, h, state: tuple) -> tuple:
    """Advance the state over all steps of theta; what the gradient needs of each step is kept in memory."""
    theta_at = series(theta)
    return repeat(
        theta["kernel"].shape[0],
        lambda j, state: integrator.step(field.bind(theta_at(j)), h, state),
        tuple(state),
    )
