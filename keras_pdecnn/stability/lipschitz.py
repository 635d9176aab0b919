"""Lipschitz bounds of whole networks: the largest factor by which a network can enlarge the l2 distance of two inputs.

The bound of a chain of layers is the product of the bounds of the layers; where branches meet, their bounds are added,
or their squares. Each layer of the package states its own bound; this module lists those of Keras's layers. All norms
are those of `operator_norm`, in float64. The bounds hold in exact arithmetic.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import keras
import numpy as np

from keras_pdecnn import layers
from keras_pdecnn.layers.graph import Call, Graph, is_graph
from keras_pdecnn.ops.limits import lipschitz
from keras_pdecnn.stability.blocks import block_bounds
from keras_pdecnn.utils.arguments import describe

ROUNDING = 1 + 1e-9
"""Factor that covers the rounding errors of products and of the norms of matrices in float64."""

TO_PROBABILITIES = (keras.activations.softmax, keras.activations.log_softmax, keras.activations.sigmoid)
"""Activations of the last layer of a classifier that turn logits into probabilities."""


@dataclass(frozen=True)
class LayerBound:
    """The Lipschitz bound of one call of a layer of a network.

    Args:
        layer: Name of the layer; in a nested model "model/layer", and from the second call on "layer (call 2)".
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

    The bound is the product of the bounds of the layers, see `layer_bounds`. A layer that is called twice counts twice,
    and nested models are looked into. Where branches meet, as in a U-Net, bounds a and b of two branches give a + b for
    their sum, (a + b) / 2 for their average and sqrt(a^2 + b^2) for their concatenation. For networks with
    `provable=True` it is close to the factor `lipschitz` of their classifier. For the paper's networks it is true, but
    too large to be of use: a step with `normalization="tv"` may enlarge distances by 1 + h ||K||^2 max|scale| /
    sqrt(epsilon).

    Args:
        model: Model of `models`, or another built `keras.Model` that consists of layers with known bounds.

    Returns:
        Bound, or None if some layer has no known bound. `layer_bounds` says which layer it is, and why.

    Example:
        >>> model = keras_pdecnn.models.ParabolicCNN((8, 8, 1), classes=3, provable=True, lipschitz=2.0)
        >>> lipschitz_bound(model) <= 2.0 * (1 + 1e-5)
        True
    """
    bounds = layer_bounds(model)
    factors = [bound.upper for bound in bounds if bound.upper is not None]
    if len(factors) < len(bounds):
        return None
    graph = Graph(model)
    # The bounds of the tensors as functions of the input.
    tensors = {-1: ROUNDING}
    for number, (call, factor) in enumerate(zip(graph.calls, factors, strict=True)):
        branches = [tensors[source.call] for source in call.sources]
        join = _JOINS.get(type(call.layer))
        tensors[number] = join(branches) if join is not None else factor * branches[0]
    return tensors[graph.outputs[0].call]


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
        List of `LayerBound`, one for each call of a layer. That of a layer where branches meet is its bound as a map of
        all of them. A model that calls anything else on several tensors has one entry for the whole model.

    Raises:
        ValueError: If `model` is not a built `keras.Model`.

    Example:
        >>> model = keras_pdecnn.models.ParabolicCNN((8, 8, 1), classes=3, provable=True)
        >>> all(bound.upper is not None for bound in layer_bounds(model))
        True
    """
    if not isinstance(model, keras.Model) or not model.built:
        raise ValueError(f"model must be a built keras.Model. Received: model={describe(model)}")
    graph = Graph(model) if is_graph(model) else None
    if graph is None or not _is_readable(model, graph):
        reason = "it is not a chain of layers, nor one whose branches are added, averaged or concatenated"
        return [LayerBound(model.name, None, reason)]
    last = graph.outputs[0].call
    bounds = [_bound(call, number == last) for number, call in enumerate(graph.calls)]
    # Whatever else reads the input would read it without the standardisation.
    readers = sum(source.call == -1 for call in graph.calls for source in call.sources)
    if readers == 1 and type(graph.calls[0].layer) is layers.Standardization:
        bounds[0] = LayerBound(graph.calls[0].name, 1.0)
    return bounds


def is_chain(model: keras.Model) -> bool:
    """Return whether a model is a chain of layers, each called once on the output of the one before it."""
    if not is_graph(model) or len(model.inputs) != 1 or len(model.outputs) != 1:
        return False
    calls = Graph(model).calls
    in_order = all([source.call for source in call.sources] == [i - 1] for i, call in enumerate(calls))
    return in_order and [call.layer for call in calls] == computing_layers(model)


def computing_layers(model: keras.Model) -> list[keras.layers.Layer]:
    """Return the layers of a model without its inputs."""
    return [layer for layer in model.layers if not isinstance(layer, keras.layers.InputLayer)]


def starts_with_standardization(model: keras.Model) -> bool:
    """Return whether the bounds of a model refer to distances of standardised inputs."""
    chain = computing_layers(model)
    return bool(chain) and type(chain[0]) is layers.Standardization


def _is_readable(model: keras.Model, graph: Graph) -> bool:
    """Return whether a model has one input, one output, and no call on several tensors but those of known layers."""
    single = all(len(call.sources) == 1 or type(call.layer) in _JOINS for call in graph.calls)
    return single and len(model.inputs) == 1 and len(graph.outputs) == 1


def _bound(call: Call, last: bool) -> LayerBound:
    try:
        return LayerBound(call.name, _upper(call, last))
    except ValueError as error:
        return LayerBound(call.name, None, str(error))


def _upper(call: Call, last: bool) -> float:
    """Return the bound of a call; raise ValueError with the reason if there is none."""
    layer, kind, shape = call.layer, type(call.layer), call.sources[0].shape
    if kind in _JOINS:
        _check_join(call)
        return _JOIN_NORMS[kind](len(call.sources))
    if last and getattr(layer, "activation", None) in TO_PROBABILITIES and (bound := _of_logits(layer)) is not None:
        return bound
    # Only a bound that the class itself defines counts: a derived class may compute something else.
    if "lipschitz_bound" in vars(kind):
        return layer.lipschitz_bound(shape)
    if isinstance(layer, layers.PDEBlock) and kind in vars(layers).values():
        return block_bounds(layer, _space(layer, shape))[1]
    if kind in _OF_KERAS:
        return _OF_KERAS[kind](layer, shape)
    raise ValueError(f"nothing is known about layers of the class {kind.__name__}")


def _of_logits(layer: keras.layers.Layer) -> float | None:
    """Return the bound of a layer before its activation, None if it is not known."""
    kind = type(layer)
    if "logits_bound" in vars(kind):
        return layer.logits_bound()
    if kind is keras.layers.Dense:
        return _norm_of_dense(layer)
    return _norm_of_convolution(layer) if kind in _CONVOLUTIONS else None


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


def _dense(layer: keras.layers.Dense, shape: tuple) -> float:
    return lipschitz(layer.activation) * _norm_of_dense(layer)


def _rescaling(layer: keras.layers.Rescaling, shape: tuple) -> float:
    return float(np.abs(layer.scale).max())


def _average(layer: keras.layers.Layer, shape: tuple) -> float:
    """Return the norm of the average over p pixels, 1 / sqrt(p); an axis of unknown size may have a single pixel."""
    return 1 / math.sqrt(math.prod(n or 1 for n in _space(layer, shape)))


def _one(layer: keras.layers.Layer, shape: tuple) -> float:
    return 1.0


def _convolution(layer: keras.layers.Layer, shape: tuple) -> float:
    return lipschitz(layer.activation) * _norm_of_convolution(layer)


def _norm_of_convolution(layer: keras.layers.Layer) -> float:
    """Return the norm of a convolution with one pixel, a matrix for each pixel."""
    if math.prod(layer.kernel_size) != 1 or layer.groups != 1:
        raise ValueError("a convolution of Keras has a bound if its kernel has one pixel and there is one group")
    if mode := getattr(layer, "quantization_mode", None):
        raise ValueError(f"nothing is known about quantized layers. Received: quantization_mode={describe(mode)}")
    kernel = np.asarray(keras.ops.convert_to_numpy(layer.kernel), np.float64)
    return float(np.linalg.norm(kernel.reshape(kernel.shape[-2:]), 2))


def _check_join(call: Call):
    """Raise ValueError if the shapes of branches may differ: Keras would repeat the smaller one, which has a norm."""
    shapes = [source.shape[1:] for source in call.sources]
    if type(call.layer) in (keras.layers.Add, keras.layers.Average) and (None in shapes[0] or len(set(shapes)) > 1):
        raise ValueError(f"branches are added if they have the same known shape. Received: shapes {shapes}")


def _root_of_squares(bounds: list[float]) -> float:
    return math.sqrt(math.fsum(bound**2 for bound in bounds))


_JOINS: dict[type, Callable[[list[float]], float]] = {
    keras.layers.Add: math.fsum,
    keras.layers.Average: lambda bounds: math.fsum(bounds) / len(bounds),
    keras.layers.Concatenate: _root_of_squares,
    layers.CropLike: lambda bounds: bounds[0],  # the second tensor gives its size alone
}
"""The bound of the output as a function of the input of the network, from those of the branches."""

_JOIN_NORMS: dict[type, Callable[[int], float]] = {
    keras.layers.Add: math.sqrt,
    keras.layers.Average: lambda count: 1 / math.sqrt(count),
    keras.layers.Concatenate: lambda count: 1.0,
    layers.CropLike: lambda count: 1.0,
}
"""The norm of a join as a map of all its branches, from their number."""


def _of_every_rank(name: str) -> list[type]:
    return [getattr(keras.layers, f"{name}{rank}D") for rank in (1, 2, 3)]


_CONVOLUTIONS = _of_every_rank("Conv")

_OF_KERAS: dict[type, Callable[[keras.layers.Layer, tuple], float]] = {
    keras.layers.Dense: _dense,
    keras.layers.Rescaling: _rescaling,
    **dict.fromkeys(_of_every_rank("GlobalAveragePooling"), _average),
    **dict.fromkeys(_of_every_rank("GlobalMaxPooling"), _one),
    **dict.fromkeys(_of_every_rank("SpatialDropout"), _one),
    **dict.fromkeys(_CONVOLUTIONS, _convolution),
    **dict.fromkeys((keras.layers.Dropout, keras.layers.Flatten, keras.layers.Permute), _one),
}


def _space(layer: keras.layers.Layer, shape: tuple) -> tuple[int | None, ...]:
    """Return the sizes of the space axes of the input of a layer, None where they are not known."""
    return shape[2:] if getattr(layer, "data_format", None) == "channels_first" else shape[1:-1]
