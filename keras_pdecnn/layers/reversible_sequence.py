"""A sequence of invertible layers that keeps one state for the gradient of all."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence

import keras

from keras_pdecnn.layers import layer_function
from keras_pdecnn.layers.invertible import InvertibleLayer
from keras_pdecnn.layers.layer_function import Arguments, LayerFunction
from keras_pdecnn.ops.chain import Link, WholeLink


@keras.saving.register_keras_serializable(package="keras_pdecnn")
class ReversibleSequence(InvertibleLayer):
    """Invertible layers one after the other, whose gradient keeps one state for all of them.

    The gradient runs the sequence backwards from its output: it undoes a layer, computes its gradient, and goes on with
    the layer before. So memory does not grow with the number of layers, apart from their weights.

    Layers may be `Reversible`, other sequences, `HamiltonianBlock`, and any other layers that keep the shape and have a
    method `inverse(y)` that returns the input for an output. The method must undo what `call` does in training, and
    `Reversible` is undone at less cost. See `Reversible` for what is treated as without the sequence.

    Args:
        layers: Invertible layers, at least one, in the order of the forward pass; the same layer may come repeatedly.
        **layer_kwargs: Arguments name, dtype and trainable of `keras.layers.Layer`.

    Raises:
        ValueError: If there is no layer, or one has no inverse, changes the shape, or cannot repeat its output in the
            same state.

    Example:
        >>> couplings = [keras_pdecnn.layers.Reversible(keras.layers.Dense(4)) for _ in range(3)]
        >>> sequence = ReversibleSequence(couplings)
        >>> sequence(keras.ops.ones((2, 8))).shape
        TensorShape([2, 8])
    """

    def __init__(self, layers: Sequence[keras.layers.Layer], **layer_kwargs):
        super().__init__(**layer_kwargs)
        if not isinstance(layers, list | tuple) or not layers:
            raise ValueError(f"layers must be a list of layers, at least one. Received: layers={layers!r}")
        self.layers = [_check_invertible(f"layers[{index}]", layer) for index, layer in enumerate(layers)]

    def inner_layers(self) -> list[keras.layers.Layer]:
        return list(dict.fromkeys(self.layers))

    def links(self, arguments: Arguments) -> list[Link]:
        links: list[Link] = []
        for layer in self.layers:
            own = isinstance(layer, InvertibleLayer)
            links += layer.links(arguments) if own else [WholeLink(LayerFunction(layer, arguments))]
        return links

    def check_volume(self):
        for layer in self.inner_layers():
            if isinstance(layer, InvertibleLayer):
                layer.check_volume()
            elif not getattr(layer, "preserves_volume", False):
                raise ValueError(
                    "The determinant is known of couplings, and of layers with an attribute preserves_volume that is "
                    f"True. Received: {layer.name}, a {type(layer).__name__}"
                )

    def build_inner(self, shape: tuple, arguments: Mapping):
        for layer in self.inner_layers():
            layer_function.build(layer, shape, self.variable_dtype, arguments)

    def get_config(self) -> dict:
        distinct = self.inner_layers()
        return {
            **super().get_config(),
            "layers": [keras.saving.serialize_keras_object(layer) for layer in distinct],
            "order": [distinct.index(layer) for layer in self.layers],
        }

    @classmethod
    def from_config(cls, config: dict):
        distinct = [keras.saving.deserialize_keras_object(layer) for layer in config["layers"]]
        layers = [distinct[index] for index in config["order"]]
        return cls(**{key: value for key, value in config.items() if key != "order"} | {"layers": layers})


def _check_invertible(name: str, layer) -> keras.layers.Layer:
    """Return a layer if its method `inverse` needs nothing but the output."""
    layer_function.check_layer(name, layer)
    inverse = getattr(layer, "inverse", None)
    arguments = inspect.signature(inverse).parameters.values() if callable(inverse) else ()
    if sum(one.default is one.empty and one.kind < one.VAR_POSITIONAL for one in arguments) != 1:
        raise ValueError(
            "layers must be invertible: Reversible, or layers with a method inverse(y) that needs the output alone. "
            f"Received: {name}={layer.name}, a {type(layer).__name__}"
        )
    return layer
