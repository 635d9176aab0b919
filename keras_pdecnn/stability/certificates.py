"""Certified radii: how far an input can be moved, in l2, before the predicted class may change."""

from __future__ import annotations

import math

import keras
import numpy as np
from numpy.typing import ArrayLike

from keras_pdecnn.layers import NormalizedDense, Standardization
from keras_pdecnn.stability.lipschitz import ROUNDING, classifier_kernel, layer_bounds


def certified_radius(model: keras.Model, x: ArrayLike, batch_size: int = 256) -> np.ndarray:
    """Return for each example the radius of an l2 ball around it in which the predicted class does not change.

    R = min over j of (logit_i - logit_j) / (||w_i - w_j|| L),   i the predicted class

    L is the Lipschitz bound of everything before the classifier, w_j its columns. Where the model standardises its
    input, R is the radius after that, and `radius_before_standardization` gives the one of the input. The unit is that
    of the input, raw pixels: divide by 255 for pixels in [0, 1].

    Whether the prediction is right is not asked. A radius of 0 certifies nothing. The bounds are those of exact
    arithmetic; of each margin, an allowance for the rounding of the features is taken away,
    32 u ||w_i - w_j|| ||features||, u the unit roundoff of the compute type of the model, and the margin itself is
    computed in float64. It is an allowance, several times what is seen, and no proof.

    Args:
        model: A network of `models` with its classifier, any that `lipschitz_bound` has a bound for.
        x: Examples, shape (batch, *space, channels), in the units of the model's input.
        batch_size: Number of examples that are evaluated at once; default 256.

    Returns:
        float64 array of shape (batch,); infinity where no other class exists or can be reached.

    Raises:
        ValueError: If a layer has no Lipschitz bound, or the last layer is no dense classifier.

    Example:
        >>> model = keras_pdecnn.models.ParabolicCNN((8, 8, 1), classes=3, provable=True)
        >>> certified_radius(model, keras.ops.ones((5, 8, 8, 1))).shape
        (5,)
    """
    factors = []
    for bound in layer_bounds(model):
        if bound.upper is None:
            raise ValueError(f"{bound.layer} has no Lipschitz bound: {bound.reason}. Received: model={model.name}")
        factors.append(bound.upper)
    classifier = model.layers[-1]
    if not isinstance(classifier, keras.layers.Dense | NormalizedDense):
        raise ValueError(f"model must end with a dense classifier. Received: model={model.name}")
    before = math.prod(factors[:-1]) * ROUNDING
    inputs = np.asarray(keras.ops.convert_to_numpy(x))
    if len(inputs) == 0:
        return np.zeros(0)
    features = keras.Model(model.inputs, classifier.input).predict(inputs, batch_size=batch_size, verbose=0)
    roundoff = max(_roundoff(layer.compute_dtype) for layer in model.layers)
    kernel, bias = classifier_kernel(classifier), classifier.bias
    bias = 0.0 if bias is None else np.asarray(keras.ops.convert_to_numpy(bias), np.float64)
    radius = _radius(features.astype(np.float64), kernel, bias, roundoff) / before
    if any(isinstance(layer, Standardization) for layer in model.layers):
        radius = radius_before_standardization(inputs, radius)
    return radius


def radius_before_standardization(x: np.ndarray, radius: np.ndarray) -> np.ndarray:
    """Return the largest radius around x whose ball is mapped into the ball of `radius` around the standardised x.

    With n entries, mean m and r = ||x - m||, standardisation is x -> sqrt(n) P(x - m), P the projection onto the unit
    ball (the lower bound of the deviation is r = 1). For r >= 1 the image is on the sphere of radius sqrt(n), where
    the distance R is the angle t = 2 arcsin(R / (2 sqrt(n))). The nearest x' with it has the same mean, and is

    * the foot of the perpendicular on the ray at the angle t, at distance r sin(t), where that is outside the unit
      ball: r cos(t) >= 1;
    * else the point of the unit sphere at the angle t, at distance sqrt((r - 1)^2 + 4 r sin(t / 2)^2).

    Inside the ball no point is nearer: ||c|| <= 1 and ||c - e|| >= q give ||c - r e||^2 >= r q^2 + (r - 1)^2. For
    r < 1 the constant sqrt(n) gives R / sqrt(n).

    Args:
        x: Examples, shape (batch, *space, channels).
        radius: Radii R after standardising, shape (batch,).

    Returns:
        float64 array of shape (batch,); infinity where R exceeds 2 sqrt(n), the diameter of all that is standardised.
    """
    x = np.asarray(x, np.float64).reshape(len(x), -1)
    root = math.sqrt(x.shape[1])
    r = np.linalg.norm(x - x.mean(axis=1, keepdims=True), axis=1)
    half = np.minimum(np.asarray(radius, np.float64) / (2 * root), 1.0)
    angle = 2 * np.arcsin(half)
    on_ray = r * np.sin(angle)
    on_sphere = np.sqrt((r - 1) ** 2 + 4 * r * half**2)
    found = np.where(r < 1, 2 * half, np.where(r * np.cos(angle) >= 1, on_ray, on_sphere))
    return np.where(np.asarray(radius) > 2 * root, np.inf, found)


def _radius(features: np.ndarray, kernel: np.ndarray, bias: np.ndarray | float, roundoff: float) -> np.ndarray:
    """Return the smallest margin over the distance of columns, per example."""
    logits = features @ kernel + bias
    predicted = logits.argmax(axis=-1)
    rows = np.arange(len(features))
    distances = np.linalg.norm(kernel[:, :, None] - kernel[:, None, :], axis=0)[predicted]
    margins = logits[rows, predicted][:, None] - logits
    margins -= 32 * roundoff * distances * np.linalg.norm(features, axis=-1, keepdims=True)
    # Classes with the same column keep their order everywhere.
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = np.where(distances > 0, margins / distances, np.where(margins > 0, np.inf, 0.0))
    ratios[rows, predicted] = np.inf
    return np.maximum(ratios.min(axis=-1, initial=np.inf), 0.0)


def _roundoff(dtype: str) -> float:
    """Return half the distance from 1 to the next number."""
    return {"bfloat16": 2.0**-9, "float16": 2.0**-11, "float32": 2.0**-24, "float64": 2.0**-53}[dtype]
