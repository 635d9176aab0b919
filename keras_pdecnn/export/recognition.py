"""The task of a network, as its last layers tell it."""

from __future__ import annotations

import keras

from keras_pdecnn.tasks import DEFAULT


def task_of(model) -> str:
    """Return the task that the last layers of a network tell."""
    last = model.layers[-1]
    activation = getattr(last, "activation", None)
    if len(model.output_shape) > 2:
        layers = [layer for layer in model.layers if getattr(layer, "activation", None) is keras.activations.softmax]
        return "segmentation" if layers else "restoration"
    if isinstance(last, keras.layers.Rescaling):
        return "regression"
    return "multi_label" if activation is keras.activations.sigmoid else DEFAULT


def max_value(model) -> float:
    """Return the value of white of a network that restores raw images."""
    last = model.layers[-1]
    is_scaled = len(model.output_shape) > 2 and isinstance(last, keras.layers.Rescaling)
    return float(last.scale) if is_scaled else 1.0
