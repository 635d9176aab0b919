"""A Keras layer as a function of the values of its variables, and whether it repeats itself."""

from __future__ import annotations

import inspect
from collections.abc import Mapping

import keras
import numpy as np
from keras import ops

from keras_pdecnn.ops.backend import primitives

_SIZE = 8
"""Size, in a trial, of axes whose size is unknown."""


class Arguments:
    """Further arguments of a call, whose tensors are values by key, as those of variables are.

    Args:
        arguments: Arguments by name, with tensors in any nested structure; default none.

    Attributes:
        tensors: Tensors of the arguments, by keys that are negative.
        losses: Losses that layers have added in the call. Keras knows a loss by the `id` of its tensor, so these
            tensors must live as long as there may be new ones, which would otherwise get the same `id`.
    """

    def __init__(self, arguments: Mapping | None = None):
        self._arguments = dict(arguments or {})
        self.losses: list = []
        self.tensors = {
            -1 - index: leaf for index, leaf in enumerate(keras.tree.flatten(self._arguments)) if ops.is_tensor(leaf)
        }

    def filled(self, values: Mapping) -> dict:
        """Return the arguments by name, with the tensors among them replaced by values of the same keys."""
        if not self.tensors:
            return self._arguments
        leaves = keras.tree.flatten(self._arguments)
        leaves = [values.get(-1 - index, leaf) for index, leaf in enumerate(leaves)]
        return keras.tree.pack_sequence_as(self._arguments, leaves)


def accepts(layer: keras.layers.Layer, name: str) -> bool:
    """Return whether the call of a layer has an argument of this name."""
    if hasattr(layer, "accepts_argument"):
        return layer.accepts_argument(name)
    return name in list(inspect.signature(layer.call).parameters)[1:]


def accepted(layer: keras.layers.Layer, arguments: Mapping) -> dict:
    """Return those arguments that are not None and that the call of a layer has; `training` suits every layer."""
    return {
        name: value
        for name, value in arguments.items()
        if value is not None and (name == "training" or accepts(layer, name))
    }


class LayerFunction:
    """A layer as a function without side effects, see `ops.chain.Function`.

    The value of a variable has its `id` as key. The layer is called as always, so that conversions of types, masks and
    regularisers of its output have their effect.

    Args:
        layer: Layer that has been built.
        arguments: Further arguments of the call; default none.
    """

    def __init__(self, layer: keras.layers.Layer, arguments: Arguments | None = None):
        self.layer = layer
        self.arguments = arguments or Arguments()
        self.keys = (*map(id, layer.variables), *self.arguments.tensors)

    def __call__(self, values: Mapping, x) -> tuple:
        """Return the output in the type of x, the new values of variables that have changed, and the losses."""
        with self._scope(values) as scope:
            before = dict(scope.state_mapping)
            y = self.layer(x, **accepted(self.layer, self.arguments.filled(values)))
        changes = {key: value for key, value in scope.state_mapping.items() if value is not before.get(key)}
        self.arguments.losses.extend(scope.losses)
        return ops.cast(y, x.dtype), changes, list(scope.losses)

    def directly(self, x, arguments: Mapping):
        """Return the value for x in plain operations, with the effects that a call of the layer has."""
        return ops.cast(self.layer(x, **accepted(self.layer, arguments)), x.dtype)

    def inverse(self, values: Mapping, y):
        """Return x of which the layer makes y."""
        with self._scope(values):
            return ops.cast(self.layer.inverse(y), y.dtype)

    def _scope(self, values: Mapping) -> keras.StatelessScope:
        mapping = [(variable, values[id(variable)]) for variable in self.layer.variables]
        return keras.StatelessScope(mapping, collect_losses=True, initialize_variables=False)


class ScaleAndShift(LayerFunction):
    """The logarithm of a scale and a shift, the halves of the output of a layer, for an affine coupling.

    The logarithm is bounded, s = b tanh(r), so the scale is at least exp(-b). The last loss is the sum of s over each
    example, which is the logarithm of the determinant.

    Args:
        layer: Layer that has been built.
        axis: Axis of the halves.
        bound: Bound b.
        arguments: Further arguments of the call; default none.
    """

    def __init__(self, layer: keras.layers.Layer, axis: int, bound: float, arguments: Arguments | None = None):
        super().__init__(layer, arguments)
        self.axis, self.bound = axis, bound

    def __call__(self, values: Mapping, x) -> tuple:
        """Return (s, t), the new values of variables that have changed, and the losses."""
        output, changes, losses = super().__call__(values, x)
        value = self._parts(output)
        return value, changes, [*losses, log_determinant(value)]

    def directly(self, x, arguments: Mapping):
        """Return (s, t) in plain operations, with the effects that a call of the layer has."""
        return self._parts(super().directly(x, arguments))

    def _parts(self, output) -> tuple:
        r, t = ops.split(output, 2, axis=self.axis)
        tanh = primitives.activation(keras.activations.tanh)  # which keeps float64
        return self.bound * tanh(r), t


def log_determinant(value: tuple):
    """Return the logarithm of the determinant of an affine coupling for each example, from the value of its F."""
    s, _ = value
    return ops.sum(s, axis=tuple(range(1, len(s.shape))))


def check_layer(name: str, layer) -> keras.layers.Layer:
    """Return an argument if it is a Keras layer or model."""
    if not isinstance(layer, keras.layers.Layer):
        raise ValueError(f"{name} must be a Keras layer or model. Received: {name}={layer!r}")
    return layer


def build(
    layer: keras.layers.Layer,
    shape: tuple,
    dtype: str,
    arguments: Mapping | None = None,
    output_shape: tuple | None = None,
):
    """Build a layer, and refuse one whose output has a wrong shape or that does not repeat itself.

    Args:
        layer: Layer, built or not.
        shape: Shape of its input.
        dtype: Type of its input.
        arguments: Further arguments of the call; default None. A layer that needs some is not built without them.
        output_shape: Shape that the output must have; default None, that of the input.

    Raises:
        ValueError: If the output has another shape, or a second call in the same state gives another output.
    """
    arguments = accepted(layer, arguments or {})
    required = [
        name
        for name, parameter in list(inspect.signature(layer.call).parameters.items())[1:]
        if parameter.default is parameter.empty
        and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    ]
    if any(name not in arguments for name in required):
        return
    symbols = keras.tree.map_structure(
        lambda leaf: keras.KerasTensor(leaf.shape, leaf.dtype) if ops.is_tensor(leaf) else leaf, arguments
    )
    output = layer(keras.KerasTensor(shape, dtype), **symbols)
    expected = tuple(output_shape or shape)
    if not isinstance(output, keras.KerasTensor) or tuple(output.shape) != expected:
        made = tuple(output.shape) if isinstance(output, keras.KerasTensor) else type(output).__name__
        must = "keep the shape" if expected == tuple(shape) else f"have an output of shape {expected} for the shape"
        raise ValueError(
            f"A layer that is run backwards must {must} of its input, {tuple(shape)}. "
            f"Received: {layer.name}, whose output is {made}"
        )
    if not any(isinstance(leaf, keras.KerasTensor) for leaf in keras.tree.flatten(symbols)):
        _check_repeats(layer, shape, dtype)


def _check_repeats(layer: keras.layers.Layer, shape: tuple, dtype: str):
    """Refuse a layer whose second call in the same state gives another output, or that changes foreign variables."""
    sizes = [2, *(size or _SIZE for size in shape[1:])]
    x = np.random.default_rng(0).normal(size=sizes)
    function = LayerFunction(layer, Arguments({"training": True}))
    try:
        with primitives.concrete():
            values = {id(variable): ops.convert_to_tensor(variable) for variable in layer.variables}
            x = ops.convert_to_tensor(x, dtype=dtype)
            results = [function(values, x) for _ in range(2)]
            first, second = (np.asarray(ops.convert_to_numpy(y), "float64") for y, _, _ in results)
            foreign = set(results[0][1]) - set(values)
    except Exception:  # a layer may need sizes of its own, and shapes may be all that is known so far
        return
    if foreign or np.max(np.abs(first - second), initial=0) > 1e-3 * np.max(np.abs(first), initial=0):
        raise ValueError(
            "A layer that is run backwards must give the same output when it is called again in the same state, random "
            "numbers included: draw them from a keras.random.SeedGenerator that is an attribute of the layer. "
            f"Received: {layer.name}, which does not"
        )
