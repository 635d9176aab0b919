"""Stored activations: plain automatic differentiation of the loop over the steps."""

from __future__ import annotations

import tensorflow as tf

from keras_pdecnn.ops.backprop.loops import repeat


def propagate(integrator, field, theta: dict, h, state: tuple) -> tuple:
    """Advance the state over all steps of theta; what the gradient needs of each step is kept in memory."""
    count = theta["kernel"].shape[0]
    # The gradient of reading an array entry touches that entry; the gradient of a slice is as long as theta.
    series = {
        name: tf.TensorArray(weight.dtype, count, element_shape=weight.shape[1:]).unstack(weight)
        for name, weight in theta.items()
    }

    def step(j, state):
        theta_j = {name: array.read(j) for name, array in series.items()}
        return integrator.step(field.bind(theta_j), h, state)

    return repeat(count, step, tuple(state))
