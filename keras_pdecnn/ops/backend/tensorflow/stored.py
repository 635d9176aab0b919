"""Stored activations: plain automatic differentiation of the loop over the steps."""

from __future__ import annotations

from keras_pdecnn.ops.backend.tensorflow.loops import UNROLLED, repeat
from keras_pdecnn.ops.backend.tensorflow.theta import SeriesTheta
from keras_pdecnn.ops.theta import Theta


def propagate(integrator, field, theta: Theta, h, state: tuple, first=0) -> tuple:
    """Advance the state over all steps of theta, and keep the activations of each step for the gradient.

    Args:
        integrator: Time integrator.
        field: Right-hand side.
        theta: Weights stacked in time.
        h: Step size.
        state: State before the first step, a tuple of tensors.
        first: Index of the first step; default 0.
    """
    series = SeriesTheta(theta, written_out=theta.steps <= UNROLLED)
    return repeat(
        theta.steps,
        lambda j, state: integrator.step(field.bind(series.at(j)), h, state, first + j),
        tuple(state),
    )
