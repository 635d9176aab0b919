"""Optimisers whose variables are there before the first step."""

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
