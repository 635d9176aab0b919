"""Optimisers whose variables are there before the first step, and weights that share no memory with them."""

from __future__ import annotations

import contextlib

import keras


def build_optimizer(model: keras.Model):
    """Make the variables of the optimiser of a compiled model, unless they are there, on the devices of the model."""
    if model.optimizer.built:
        return
    strategy = getattr(model, "distribute_strategy", None)  # with TensorFlow
    with strategy.scope() if strategy else contextlib.nullcontext():
        model.optimizer.build(model.trainable_variables)


def separate_weights(model: keras.Model):
    """Give the weights of a model their own memory, after its optimiser has set them to their averages.

    Under JAX, `finalize_variable_values` lets weights and averages share arrays. As `evaluate` and `predict` give the
    memory of the weights away, the averages would be lost, and the model could be neither saved nor trained further.
    """
    if keras.backend.backend() == "jax":
        for weight in model.trainable_variables:
            weight.assign(keras.ops.copy(weight))
