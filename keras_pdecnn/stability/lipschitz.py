"""Lipschitz bounds of whole networks: the largest factor by which a network can enlarge the l2 distance of two inputs.

The bound of a chain of layers is the product of the bounds of the layers. Each layer of the package states its own
bound; this module lists those of Keras's layers. All norms are those of `operator_norm`, in float64. The bounds hold in
exact arithmetic.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass

import keras
import numpy as np

from keras_pdecnn import layers
from keras_pdecnn.ops.limits import lipschitz
from keras_pdecnn.stability.blocks import block_bounds
from keras_pdecnn.utils.arguments import describe

ROUNDING = 1 + 1e-9
"""Factor that covers the rounding errors of products and of the norms of matrices in float64."""

TO_PROBABILITIES = (keras.activations.softmax, keras.activations.log_softmax, keras.activations.sigmoid)
"""Activations of the last layer of a classifier that turn logits into probabilities."""


@dataclass(frozen=True)
class LayerBound:
    """The Lipschitz bound of one layer of a network.

    Args:
        layer: Name of the layer.
        upper: Lipschitz bound; None if no bound is known.
        reason: Reason why no bound is known; default "".
    """

    layer: str
    upper: float | None
    reason: str = ""


def lipschitz_bound(model: keras.Model) -> float | None:
    """Return a certified upper bound of the l2 Lipschitz constant of a network in inference.

    ||f(x) - f(x')|| <= bound ||x - x'||

    f are the logits, that is, the values before the softmax or sigmoid of a dense layer at the end. For other models f
    is the output. If the model standardises its input, x is the standardised input. Standardisation itself has the
    constant sqrt(n), with n the number of entries of an example; `certified_radius` computes radii of the input without
    this factor.

    The bound is the product of the bounds of the layers, see `layer_bounds`. For networks with `provable=True` it is
    close to the factor `lipschitz` of their classifier. For the paper's networks it is true, but too large to be of
    use: a step with `normalization="tv"` may enlarge distances by 1 + h ||K||^2 max|scale| / sqrt(epsilon).

    Args:
        model: Model of `models`, or another built `keras.Model` that is a chain of layers with known bounds.

    Returns:
        Bound, or None if some layer has no known bound. `layer_bounds` says which layer it is, and why.

    Example:
        >>> model = keras_pdecnn.models.ParabolicCNN((8, 8, 1), classes=3, provable=True, lipschitz=2.0)
        >>> lipschitz_bound(model) <= 2.0 * (1 + 1e-5)
        True
    """
    total = ROUNDING
    for bound in layer_bounds(model):
        if bound.upper is None:
            return None
        total *= bound.upper
    return total


def layer_bounds(model: keras.Model) -> list[LayerBound]:
    """Return the Lipschitz bound of every layer of a network, in order.

    For blocks, the bound is that of `block_bounds`. The other layers of the package have a method `lipschitz_bound`,
    and a user-defined layer may have one too: `lipschitz_bound(input_shape)` returns a number, or raises ValueError
    with the reason why there is no bound. The class of the layer itself must define the method; an inherited one does
    not count, as the derived class may compute something else. A standardisation at the beginning counts as 1, see
    `lipschitz_bound`.

    Args:
        model: Built `keras.Model`.

    Returns:
        List of `LayerBound`. For a model that is not a chain of layers, it has one entry for the whole model.

    Raises:
        ValueError: If `model` is not a built `keras.Model`.

    Example:
        >>> model = keras_pdecnn.models.ParabolicCNN((8, 8, 1), classes=3, provable=True)
        >>> all(bound.upper is not None for bound in layer_bounds(model))
        True
    """
    if not isinstance(model, keras.Model) or not model.built:
        raise ValueError(f"model must be a built keras.Model. Received: model={describe(model)}")
    if not _is_chain(model):
        return [LayerBound(model.name, None, "it is not a chain of layers, each called once on the output before it")]
    chain = computing_layers(model)
    bounds = [_bound(layer, layer is chain[-1]) for layer in chain]
    if starts_with_standardization(model):
        bounds[0] = LayerBound(chain[0].name, 1.0)
    return bounds


def computing_layers(model: keras.Model) -> list[keras.layers.Layer]:
    """Return the layers of a model without its inputs."""
    return [layer for layer in model.layers if not isinstance(layer, keras.layers.InputLayer)]


def starts_with_standardization(model: keras.Model) -> bool:
    """Return whether the bounds of a model refer to distances of standardised inputs."""
    chain = computing_layers(model)
    return bool(chain) and type(chain[0]) is layers.Standardization


def _is_chain(model: keras.Model) -> bool:
    if not _calls_its_layers(type(model)):
        return False
    try:
        if len(model.inputs) != 1 or len(model.outputs) != 1:
            return False
        last = model.inputs[0]
        for layer in model.layers:
            if isinstance(layer, keras.layers.InputLayer):
                continue
            # Keras raises an error if a layer has been called more than once. Inner models have other inputs.
            if layer.input is not last:
                return False
            last = layer.output
        return last is model.outputs[0]
    except (AttributeError, ValueError, TypeError):
        return False


def _calls_its_layers(kind: type[keras.Model]) -> bool:
    """Return whether a class of models calls its layers and nothing else: a derived class may redefine `call`."""
    return any((kind.call, kind.__call__) == (own.call, own.__call__) for own in (keras.Sequential, _functional()))


@functools.cache
def _functional() -> type[keras.Model]:
    """Return the class of functional models, which Keras has no public name for."""
    return type(keras.Model(inputs := keras.Input((1,)), inputs))


def _bound(layer: keras.layers.Layer, last: bool) -> LayerBound:
    try:
        return LayerBound(layer.name, _upper(layer, last))
    except ValueError as error:
        return LayerBound(layer.name, None, str(error))


def _upper(layer: keras.layers.Layer, last: bool) -> float:
    """Return the bound of a layer; raise ValueError with the reason if there is none."""
    # Only a bound that the class itself defines counts: a derived class may compute something else.
    kind, shape = type(layer), tuple(layer.input.shape)
    if last and getattr(layer, "activation", None) in TO_PROBABILITIES:
        if "logits_bound" in vars(kind):
            return layer.logits_bound()
        if kind is keras.layers.Dense:
            return _norm_of_dense(layer)
    if "lipschitz_bound" in vars(kind):
        return layer.lipschitz_bound(shape)
    if isinstance(layer, layers.PDEBlock) and kind in vars(layers).values():
        return block_bounds(layer, _space(layer, shape))[1]
    if kind in _OF_KERAS:
        return _OF_KERAS[kind](layer)
    raise ValueError(f"nothing is known about layers of the class {kind.__name__}")


def classifier_kernel(layer: keras.layers.Layer) -> np.ndarray:
    """Return the matrix (features, classes) that a dense layer multiplies by, float64.

    Raises:
        ValueError: If the layer is quantized. It then rounds its input as well, which no Lipschitz constant covers.
    """
    if mode := getattr(layer, "quantization_mode", None):
        raise ValueError(f"nothing is known about quantized layers. Received: quantization_mode={describe(mode)}")
    kernel = layer.normalized_kernel() if hasattr(layer, "normalized_kernel") else layer.kernel
    return np.asarray(keras.ops.convert_to_numpy(kernel), np.float64)


def _norm_of_dense(layer: keras.layers.Dense) -> float:
    return float(np.linalg.norm(classifier_kernel(layer), 2))


def _dense(layer: keras.layers.Dense) -> float:
    return lipschitz(layer.activation) * _norm_of_dense(layer)


def _average(layer: keras.layers.Layer) -> float:
    """Return the norm of the average over p pixels, 1 / sqrt(p); an axis of unknown size may have a single pixel."""
    return 1 / math.sqrt(math.prod(n or 1 for n in _space(layer, layer.input.shape)))


def _one(layer: keras.layers.Layer) -> float:
    return 1.0


def _of_every_rank(name: str) -> list[type]:
    return [getattr(keras.layers, f"{name}{rank}D") for rank in (1, 2, 3)]


_OF_KERAS: dict[type, Callable[[keras.layers.Layer], float]] = {
    keras.layers.Dense: _dense,
    **dict.fromkeys(_of_every_rank("GlobalAveragePooling"), _average),
    **dict.fromkeys(_of_every_rank("GlobalMaxPooling"), _one),
    **dict.fromkeys(_of_every_rank("SpatialDropout"), _one),
    **dict.fromkeys((keras.layers.Dropout, keras.layers.Flatten, keras.layers.Permute), _one),
}


def _space(layer: keras.layers.Layer, shape: tuple) -> tuple[int | None, ...]:
    """Return the sizes of the space axes of the input of a layer, None where they are not known."""
    return shape[2:] if getattr(layer, "data_format", None) == "channels_first" else shape[1:-1]
