"""An additive coupling of any two Keras layers, run backwards in training."""

from __future__ import annotations

from collections.abc import Mapping

import keras

from keras_pdecnn.layers import layer_function
from keras_pdecnn.layers.invertible import InvertibleLayer
from keras_pdecnn.layers.layer_function import Arguments, LayerFunction
from keras_pdecnn.layers.splitting import check_axis, half_shape, split_spec
from keras_pdecnn.ops.chain import AdditiveLink, Link


@keras.saving.register_keras_serializable(package="keras_pdecnn")
class Reversible(InvertibleLayer):
    """Additive coupling of two Keras layers or models, which can be run backwards.

    y' = y + f(z),   z' = z + g(y')

    y and z are the halves of the input along an axis. Without g, y' = y + f(z), and then the halves change places. f
    and g may be any layers that keep the shape of their input. Dropout, batch normalisation, losses, masks and layers
    that are frozen or shared are treated as without the coupling: random numbers are drawn once and repeated in the
    gradient, and statistics are updated once.

    The gradient keeps the output alone. The output of each coupling is kept, however, so put many of them into a
    `ReversibleSequence`, which keeps one output for all.

    The state has the type of the weights: under a mixed policy only f and g are computed in the compute type, and the
    output is float32.

    Args:
        f: Layer or model that keeps the shape of its input.
        g: Another one, or the same; default None, the halves change places instead.
        split_axis: Axis along which the input is split, not the batch; default -1.
        **layer_kwargs: Arguments name, dtype and trainable of `keras.layers.Layer`.

    Raises:
        ValueError: If f or g is no layer, changes the shape, or cannot repeat its output in the same state; or if the
            input has no such axis, or its size is odd or unknown.

    Example:
        >>> f, g = (keras.layers.Conv2D(2, 3, padding="same", activation="relu") for _ in range(2))
        >>> coupling = Reversible(f, g)
        >>> y = coupling(keras.ops.ones((1, 8, 8, 4)))
        >>> bool(keras.ops.all(abs(coupling.inverse(y) - 1) < 1e-5))
        True
    """

    def __init__(
        self,
        f: keras.layers.Layer,
        g: keras.layers.Layer | None = None,
        split_axis: int = -1,
        **layer_kwargs,
    ):
        super().__init__(**layer_kwargs)
        self.f = layer_function.check_layer("f", f)
        self.g = None if g is None else layer_function.check_layer("g", g)
        self.split_axis = check_axis(split_axis)

    def inner_layers(self) -> list[keras.layers.Layer]:
        return [self.f] if self.g is None or self.g is self.f else [self.f, self.g]

    def links(self, arguments: Arguments) -> list[Link]:
        f = LayerFunction(self.f, arguments)
        if self.g is None:
            return [AdditiveLink(self._axis, ((1, 0, f),), swaps=True)]
        return [AdditiveLink(self._axis, ((1, 0, f), (0, 1, LayerFunction(self.g, arguments))))]

    @property
    def _axis(self) -> int:
        """Axis of the split, counted from the first axis."""
        return self.split_axis % self.input_spec.ndim

    def build_inner(self, shape: tuple, arguments: Mapping):
        self.input_spec = split_spec(type(self).__name__, shape, self.split_axis)
        half = half_shape(shape, self.split_axis)
        for layer in self.inner_layers():
            layer_function.build(layer, half, self.variable_dtype, arguments)

    def get_config(self) -> dict:
        g = "f" if self.g is self.f else self.g
        return {
            **super().get_config(),
            "f": keras.saving.serialize_keras_object(self.f),
            "g": keras.saving.serialize_keras_object(g),
            "split_axis": self.split_axis,
        }

    @classmethod
    def from_config(cls, config: dict):
        f = keras.saving.deserialize_keras_object(config["f"])
        g = f if config["g"] == "f" else keras.saving.deserialize_keras_object(config["g"])
        return cls(**{**config, "f": f, "g": g})
