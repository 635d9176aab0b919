"""The logits of a classifier that ends with a softmax."""

from __future__ import annotations

import keras

from keras_pdecnn.utils.arguments import describe


def logits(model: keras.Model) -> keras.Model:
    """Return a model that computes the logits of a classifier, the numbers before the softmax.

    If logits are far apart, their softmax in float32 is exactly 0 or 1 and its gradient is 0. Logits do not have this
    problem. The new model shares all layers with the classifier but the last one, which is a copy without activation.

    Args:
        model: Built functional or sequential model. Its last layer is a softmax, or has a softmax or no activation.

    Returns:
        Functional model, (batch, *space, channels) -> (batch, classes).

    Raises:
        ValueError: If the last layer has another activation, or no attribute `activation`.

    Example:
        >>> model = keras_pdecnn.models.ParabolicCNN((8, 8, 1), classes=10, widths=(4,))
        >>> logits(model)(keras.ops.ones((2, 8, 8, 1))).shape
        TensorShape([2, 10])
    """
    last = model.layers[-1] if isinstance(model, keras.Model) and model.layers else None
    if isinstance(last, keras.layers.Softmax):
        return keras.Model(model.inputs[0], last.input)
    activation = getattr(last, "activation", None)
    if last is None or activation not in (keras.activations.softmax, keras.activations.linear):
        name = getattr(activation, "__name__", activation)
        raise ValueError(
            "model must be a classifier whose last layer has the activation softmax or none. "
            f"Received: model={describe(model)}, whose last layer has activation={name}"
        )
    if activation is keras.activations.linear:
        return model
    linear = type(last).from_config({**last.get_config(), "activation": "linear"})
    outputs = linear(last.input)
    linear.set_weights(last.get_weights())
    return keras.Model(model.inputs[0], outputs)
