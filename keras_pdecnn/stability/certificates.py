"""Certified radii: the l2 distance by which an input can be moved before the predicted class may change."""

from __future__ import annotations

import math

import keras
import ml_dtypes
import numpy as np
from numpy.typing import ArrayLike

from keras_pdecnn.layers import NormalizedDense, PDEBlock, Standardization
from keras_pdecnn.ops.norms import unit_roundoff
from keras_pdecnn.stability.lipschitz import (
    ROUNDING,
    classifier_kernel,
    computing_layers,
    is_chain,
    layer_bounds,
    starts_with_standardization,
)


def certified_radius(model: keras.Model, x: ArrayLike, batch_size: int = 256) -> np.ndarray:
    """Return for each example the radius of an l2 ball around it in which the predicted class does not change.

    R = min over j of (logit_i - logit_j) / (||w_i - w_j|| L),   i the predicted class

    L is the Lipschitz bound of all layers before the classifier, and w_j are the columns of the classifier's kernel. If
    the model standardises its input, R is the radius after that, and `radius_before_standardization` converts it to the
    radius of the input. The unit is that of the input: for raw pixels, divide by 255 to compare with pixels in [0, 1].

    The radius does not depend on whether the prediction is right. A radius of 0 certifies nothing. A classifier with
    one output and no softmax has two classes, and the sign of its logit decides between them.

    The bounds hold in exact arithmetic, and the margins are computed in float64. As an allowance for rounding, the
    following is subtracted. u is the unit roundoff of the type in which a quantity is computed, b is the bias.

    * From a margin: ||w_i - w_j|| E, where E bounds the rounding errors of the features, and
      32 u (||features|| (||w_i|| + ||w_j||) + |b_i| + |b_j|) + 4 u for the rounding of logits and probabilities. E adds
      up what the layers contribute. A layer with the bound l, input x and output y contributes
      8 u max(l ||x||, ||y||), and N steps of a block (8 + N) u max(l ||x||, ||y||), times the bounds of all layers
      between it and the classifier. E is at least 32 u ||features||.
    * From the radius after standardisation: 32 u sqrt(n) ||x|| / ||x - mean||, as standardisation loses the digits that
      all n entries of x have in common.

    These allowances are several times the errors that were observed. They are not proved.

    Args:
        model: Network with a classifier for which `lipschitz_bound` knows a bound, such as those of `models`. The
            activation of the classifier is a softmax or None, or with one output a sigmoid.
        x: Examples in the units of the model's input, shape (batch, *space, channels).
        batch_size: Number of examples that are evaluated at once; default 256.

    Returns:
        float64 array of shape (batch,). It is infinity where there is no other class, or no change of the input can
        reach one, and 0 where features overflow.

    Raises:
        ValueError: If a layer has no Lipschitz bound or standardises features inside the network, the last layer is not
            a dense classifier, or x is not finite.

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
    if not is_chain(model):
        raise ValueError(
            "certified radii are known for chains of layers, each called once on the output before it. "
            f"Received: model={model.name}"
        )
    standardizes = starts_with_standardization(model)
    if any(isinstance(layer, Standardization) for layer in computing_layers(model)[standardizes:]):
        raise ValueError(
            "the rounding errors of a standardisation are known only at the beginning of a network. "
            f"Received: model={model.name} with a Standardization inside"
        )
    classifier = model.layers[-1]
    kernel, bias = _logits(classifier, model.name)
    before = math.prod(factors[:-1]) * ROUNDING
    inputs = np.asarray(keras.ops.convert_to_numpy(x))
    if len(inputs) == 0:
        return np.zeros(0)
    if bad := np.sum(~np.isfinite(inputs)):
        raise ValueError(f"x must be finite. Received: x with {bad} entries that are NaN or infinite")
    chain = computing_layers(model)[:-1]
    features, lengths = _features(model, chain, inputs, batch_size)
    first = int(standardizes)  # the rounding errors of the standardisation are subtracted from the radius
    errors = _rounding_errors(chain[first:], lengths[:, first:], factors[first:-1])
    radius = _radius(features, kernel, bias, errors, _roundoff(classifier)) / before
    if standardizes:
        dtype = computing_layers(model)[0].variable_dtype
        kept = radius - np.where(radius < np.inf, _lost_digits(inputs, dtype), 0.0)
        radius = radius_before_standardization(inputs, np.maximum(kept, 0.0))
    return radius


def radius_before_standardization(x: np.ndarray, radius: np.ndarray) -> np.ndarray:
    """Return the largest radius around x for which standardisation maps the ball into a ball of a given radius.

    With n entries, mean m and r = ||x - m||, standardisation is x -> sqrt(n) P(x - m), where P is the projection onto
    the unit ball. (At r = 1 the standard deviation has its lower bound.) For r >= 1 the image of x is on the sphere of
    radius sqrt(n), where the distance R corresponds to the angle t = 2 arcsin(R / (2 sqrt(n))). The nearest x' at this
    angle has the same mean. It is

    * the foot of the perpendicular on the ray at the angle t, at the distance r sin(t), if that point is outside the
      unit ball, which means r cos(t) >= 1;
    * otherwise the point of the unit sphere at the angle t, at the distance sqrt((r - 1)^2 + 4 r sin(t / 2)^2).

    No point c inside the ball is nearer: with e = (x - m) / r, the conditions ||c|| <= 1 and ||c - e|| >= q give
    ||c - r e||^2 >= r q^2 + (r - 1)^2. For r < 1 the Lipschitz constant sqrt(n) gives R / sqrt(n).

    Args:
        x: Examples, shape (batch, *space, channels).
        radius: Radii R after standardisation, shape (batch,).

    Returns:
        float64 array of shape (batch,). It is infinity where R exceeds 2 sqrt(n), the diameter of the ball that
        contains all standardised examples.
    """
    x = np.asarray(x, np.float64).reshape(len(x), -1)
    root = math.sqrt(x.shape[1])
    r = np.linalg.norm(x - x.mean(axis=1, keepdims=True), axis=1)
    half = np.minimum(np.asarray(radius, np.float64) / (2 * root), 1.0)
    angle = 2 * np.arcsin(half)
    on_ray = r * np.sin(angle)
    on_sphere = np.sqrt((r - 1) ** 2 + 4 * r * half**2)
    nearest = np.where(r < 1, 2 * half, np.where(r * np.cos(angle) >= 1, on_ray, on_sphere))
    return np.where(np.asarray(radius) > 2 * root, np.inf, nearest)


def _logits(classifier: keras.layers.Layer, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return kernel and bias of the logits, one per class; a single output has two classes, one for each sign."""
    # Only these two layers: a class that is derived from one of them may compute other logits.
    if type(classifier) not in (keras.layers.Dense, NormalizedDense) or len(classifier.input.shape) != 2:
        raise ValueError(f"model must end with a dense classifier. Received: model={name}")
    kernel, bias = classifier_kernel(classifier), classifier.bias
    bias = np.zeros(kernel.shape[1]) if bias is None else np.asarray(keras.ops.convert_to_numpy(bias), np.float64)
    if classifier.activation in (keras.activations.softmax, keras.activations.log_softmax):
        return kernel, bias
    if classifier.units == 1 and classifier.activation in (keras.activations.linear, keras.activations.sigmoid):
        return np.pad(kernel, [(0, 0), (1, 0)]), np.pad(bias, [(1, 0)])
    if classifier.activation is keras.activations.linear:
        return kernel, bias
    activation = getattr(classifier.activation, "__name__", classifier.activation)
    raise ValueError(
        "the classifier must have a softmax or no activation, or one output and a sigmoid. "
        f"Received: model={name}, activation={activation}"
    )


def _lost_digits(x: np.ndarray, dtype: str) -> np.ndarray:
    """Return the allowance for the rounding errors of standardisation in a type; infinity where it overflows."""
    x = np.asarray(x, np.float64).reshape(len(x), -1)
    size = np.linalg.norm(x, axis=1)
    r = np.linalg.norm(x - x.mean(axis=1, keepdims=True), axis=1)
    allowance = 32 * unit_roundoff(dtype, products=False) * math.sqrt(x.shape[1]) * size / np.maximum(r, 1)
    return np.where(size**2 < ml_dtypes.finfo(dtype).max, allowance, np.inf)


def _features(model: keras.Model, chain: list, inputs: np.ndarray, batch_size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the features before the classifier, and the lengths of the input and of the output of every layer.

    Both are float64 arrays, of shapes (batch, features) and (batch, layers + 1).
    """
    outputs = [model.inputs[0], *(layer.output for layer in chain)]
    squares = (keras.ops.square(keras.ops.cast(y, "float32")) for y in outputs)
    sums = [keras.ops.sum(y, axis=tuple(range(1, len(y.shape)))) for y in squares]
    lengths = keras.ops.sqrt(keras.ops.stack(sums, axis=-1))
    features, lengths = keras.Model(model.inputs, [outputs[-1], lengths]).predict(
        inputs, batch_size=batch_size, verbose=0
    )
    return features.astype(np.float64), lengths.astype(np.float64)


def _rounding_errors(chain: list, lengths: np.ndarray, factors: list[float]) -> np.ndarray:
    """Return the allowance for the rounding errors of the features of each example, shape (batch,)."""
    errors = np.zeros(len(lengths))
    for number, (layer, factor) in enumerate(zip(chain, factors, strict=True)):
        steps = layer.steps if isinstance(layer, PDEBlock) else 0
        largest = np.maximum(factor * lengths[:, number], lengths[:, number + 1])
        errors = factor * errors + (8 + steps) * _roundoff(layer) * largest
    return np.maximum(errors, 32 * max(map(_roundoff, chain), default=0.0) * lengths[:, -1])


def _roundoff(layer: keras.layers.Layer) -> float:
    return unit_roundoff(layer.compute_dtype)


def _radius(
    features: np.ndarray, kernel: np.ndarray, bias: np.ndarray, errors: np.ndarray, roundoff_of_logits: float
) -> np.ndarray:
    """Return for each example the smallest quotient of a margin and the distance of the two columns."""
    logits = features @ kernel + bias
    predicted = logits.argmax(axis=-1)
    rows = np.arange(len(features))
    distances = np.linalg.norm(kernel[:, :, None] - kernel[:, None, :], axis=0)[predicted]
    margins = logits[rows, predicted][:, None] - logits
    lengths = np.linalg.norm(features, axis=-1, keepdims=True)
    margins -= distances * errors[:, None]
    sizes = lengths * np.linalg.norm(kernel, axis=0) + np.abs(bias)
    margins -= roundoff_of_logits * (32 * (sizes + sizes[rows, predicted][:, None]) + 4)
    # Classes with the same column keep their order everywhere.
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = np.where(distances > 0, margins / distances, np.where(margins > 0, np.inf, 0.0))
    ratios[rows, predicted] = np.inf
    smallest = ratios.min(axis=-1, initial=np.inf)
    return np.where(smallest > 0, smallest, 0.0)  # NaN becomes 0 as well.
