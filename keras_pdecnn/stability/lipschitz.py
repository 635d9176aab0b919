"""End-to-end Lipschitz bounds: by how much a network can enlarge the l2 distance of two inputs.

A network is a chain of layers, and its bound is the product of theirs. All norms are those of `operator_norm`, in
float64; the bounds hold in exact arithmetic.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import keras
import numpy as np

from keras_pdecnn import layers
from keras_pdecnn.layers import (
    Connector,
    NormalizedDense,
    Standardization,
)
from keras_pdecnn.ops.limits import lipschitz
from keras_pdecnn.stability.blocks import block_bounds
from keras_pdecnn.stability.norms import operator_norm

ROUNDING = 1 + 1e-9
"""Covers the rounding in float64 of what is not covered by `operator_norm`: products and norms of matrices."""


@dataclass(frozen=True)
class LayerBound:
    """What is known of one layer of a network.

    Args:
        layer: Name of the layer.
        upper: Lipschitz bound, or None where none can be given.
        reason: Why there is none, otherwise empty.
    """

    layer: str
    upper: float | None
    reason: str = ""


def lipschitz_bound(model: keras.Model) -> float | None:
    """Return a certified bound of the l2 Lipschitz constant of a network, in inference.

    ||f(x) - f(x')|| <= bound ||x - x'||

    f are the logits, before the softmax (or sigmoid) of a dense layer at the end, or the features of other models.
    Where the model standardises its input, x is the standardised one: from raw pixels, standardisation has the constant
    sqrt(n), n the number of entries, which helps nobody; `certified_radius` knows better.

    It is the product of the bounds of the layers, see `layer_bounds`. It is close to 1 (times what the classifier
    scales by) for networks built with `provable=True`, true but useless for those of the paper: every step with
    `normalization="tv"` may enlarge by 1 + h ||K||^2 max|scale| / sqrt(epsilon).

    Args:
        model: A model of `models`, or another built `keras.Model` that is a chain of their layers.

    Returns:
        The bound, or None if there is none for some layer; `layer_bounds` says for which and why.

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

    Convolutions (opening, connectors) and the classifier have the norm of their kernel, with the inference statistics
    of a batch normalisation folded into it; average pooling over p pixels 1 / sqrt(p); blocks as `block_bounds` says.

    Args:
        model: A built `keras.Model`.

    Returns:
        A list of `LayerBound`. A model that is no chain of layers has one entry, for the model itself.

    Raises:
        ValueError: If model is no built `keras.Model`.

    Example:
        >>> model = keras_pdecnn.models.ParabolicCNN((8, 8, 1), classes=3, provable=True)
        >>> all(bound.upper is not None for bound in layer_bounds(model))
        True
    """
    if not isinstance(model, keras.Model) or not model.built:
        raise ValueError(f"model must be a built keras.Model. Received: model={model!r}")
    if not _is_chain(model):
        return [LayerBound(model.name, None, "it is not a chain of layers, each called once on the output before it")]
    found = [layer for layer in model.layers if not isinstance(layer, keras.layers.InputLayer)]
    return [_bound(layer, index == 0, index == len(found) - 1) for index, layer in enumerate(found)]


def _is_chain(model: keras.Model) -> bool:
    try:
        if len(model.inputs) != 1 or len(model.outputs) != 1:
            return False
        last = model.inputs[0]
        for layer in model.layers:
            if isinstance(layer, keras.layers.InputLayer):
                continue
            # Keras raises where a layer has been called more than once, and models within models have other inputs.
            if layer.input is not last:
                return False
            last = layer.output
        return last is model.outputs[0]
    except (AttributeError, ValueError, TypeError):
        return False


def _bound(layer: keras.layers.Layer, first: bool, last: bool) -> LayerBound:
    try:
        return LayerBound(layer.name, _upper(layer, first, last))
    except ValueError as error:
        return LayerBound(layer.name, None, str(error))


def _upper(layer: keras.layers.Layer, first: bool, last: bool) -> float:
    """Return the bound of a layer; raise ValueError with the reason if there is none."""
    # The class itself, as one that is derived from it may do anything.
    kind = type(layer)
    if kind in _BLOCKS:
        return block_bounds(layer, _space(layer))[1]
    if kind is Connector:
        return _connector(layer)
    if kind in (keras.layers.Dense, NormalizedDense):
        # The softmax of the last layer is no part of the logits.
        factor = 1.0 if last and layer.activation in TO_PROBABILITIES else lipschitz(layer.activation)
        return factor * float(np.linalg.norm(classifier_kernel(layer), 2))
    if kind in _AVERAGES:
        space = layer.input.shape[2:] if layer.data_format == "channels_first" else _space(layer)
        return 1 / math.sqrt(math.prod(n or 1 for n in space))
    if kind in _HARMLESS or (kind is Standardization and first):
        return 1.0
    if kind is Standardization:
        raise ValueError("standardisation is only understood as the first layer")
    raise ValueError(f"nothing is known about layers of the class {kind.__name__}")


TO_PROBABILITIES = (keras.activations.softmax, keras.activations.log_softmax, keras.activations.sigmoid)
"""Activations at the end of a classifier, whose arguments are its logits."""

_BLOCKS = tuple(cls for cls in vars(layers).values() if isinstance(cls, type) and issubclass(cls, layers.PDEBlock))
_AVERAGES = tuple(getattr(keras.layers, f"GlobalAveragePooling{rank}D") for rank in (1, 2, 3))
_HARMLESS = (
    *(getattr(keras.layers, f"{name}{rank}D") for name in ("GlobalMaxPooling", "SpatialDropout") for rank in (1, 2, 3)),
    keras.layers.Dropout,
    keras.layers.Flatten,
)


def classifier_kernel(layer: keras.layers.Dense | NormalizedDense) -> np.ndarray:
    """Return the matrix (features, classes) that a dense layer multiplies by, float64.

    Raises:
        ValueError: If the layer is quantized: it rounds its input as well, which no constant bounds.
    """
    if mode := getattr(layer, "quantization_mode", None):
        raise ValueError(f"nothing is known about quantized layers. Received: quantization_mode={mode!r}")
    kernel = layer.normalized_kernel() if isinstance(layer, NormalizedDense) else layer.kernel
    return np.asarray(keras.ops.convert_to_numpy(kernel), np.float64)


def _connector(layer: Connector) -> float:
    """Return the norm of convolution (with batch normalisation) and pooling; ReLU has the constant 1."""
    space = _space(layer)
    window = [1 if n is None else min(n, layer.pool_size) for n in space]
    if layer.provable:
        # Pixels that become channels keep their length.
        norm, pooling = _norm(layer, [n and n // p for n, p in zip(space, window, strict=True)]), 1.0
    else:
        # The mean over a window of p pixels is 1 / sqrt(p) times a map with orthonormal rows. Of an axis of unknown
        # size a single pixel may be all there is.
        norm, pooling = _norm(layer, space), 1 / math.sqrt(math.prod(window))
    return norm * pooling


def _norm(layer: Connector, space: Sequence[int | None]) -> float:
    known = [n for n in space if n is not None]
    shape = tuple(known) if len(known) == len(space) else None
    return float(operator_norm(layer.inference_kernel(), shape=shape, axes=len(space)))


def _space(layer: keras.layers.Layer) -> tuple[int | None, ...]:
    """Return the sizes of the space axes of the input of a layer, None where they are not known."""
    return tuple(layer.input.shape[1:-1])
