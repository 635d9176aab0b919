"""The logits of a classifier whose last layer has a softmax."""

from __future__ import annotations

import keras


def logits(model: keras.Model) -> keras.Model:
    """Return a model with the layers of a classifier whose output is what the softmax of the last one is given.

    A softmax in float32 is exactly 0 or 1 once logits are far apart, and has no gradient there; logits have. The last
    layer is made again without its activation, with a copy of its weights; all others are shared.

    Args:
        model: A functional or sequential model, built; its last layer has a softmax, or is one, or has no activation.

    Returns:
        A functional model, (batch, *space, channels) -> (batch, classes).

    Raises:
        ValueError: If the last layer has another activation, or none is known.

    Example:
        >>> model = keras_pdecnn.models.ParabolicCNN((8, 8, 1), classes=10, widths=(4,))
        >>> logits(model)(keras.ops.ones((2, 8, 8, 1))).shape
        TensorShape([2, 10])
    """
    last = model.layers[-1] if isinstance(model, keras.Model) and model.layers else None
    if isinstance(last, keras.layers.Softmax):
        return keras.Model(model.inputs[0], last.input)
    activation = getattr(last, "activation", None)
    if activation not in (keras.activations.softmax, keras.activations.linear):
        name = getattr(activation, "__name__", activation)
        raise ValueError(
            "model must be a classifier whose last layer has the activation softmax or none. "
            f"Received: model={model!r}, whose last layer has activation={name}"
        )
    if activation is keras.activations.linear:
        return model
    linear = type(last).from_config({**last.get_config(), "activation": "linear"})
    outputs = linear(last.input)
    linear.set_weights(last.get_weights())
    return keras.Model(model.inputs[0], outputs)
