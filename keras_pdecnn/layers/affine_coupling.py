"""An affine coupling with any Keras layer, for normalising flows."""

from __future__ import annotations

from collections.abc import Mapping

import keras

from keras_pdecnn.layers import layer_function
from keras_pdecnn.layers.invertible import InvertibleLayer
from keras_pdecnn.layers.layer_function import Arguments, ScaleAndShift
from keras_pdecnn.layers.splitting import check_axis, half_shape, split_spec
from keras_pdecnn.ops.chain import AffineLink, Link
from keras_pdecnn.utils import arguments as checks


@keras.saving.register_keras_serializable(package="keras_pdecnn")
class AffineCoupling(InvertibleLayer):
    """Affine coupling of a Keras layer or model, whose determinant is known; it can be run backwards.

    y' = exp(b tanh(r)) y + t,   (r, t) = f(z),   and then the halves y' and z change places.

    y and z are the halves of the input along an axis, r and t those of the output of f. The scale is between exp(-b)
    and exp(b). `with_log_determinant(x)` returns the output and the logarithm of the determinant, which a normalising
    flow needs. All else is as in `Reversible`: put many couplings into a `ReversibleSequence`.

    Args:
        f: Layer or model whose output has the shape of its input, with twice the size along the axis.
        split_axis: Axis along which the input is split, not the batch; default -1.
        bound: Bound b of the logarithm of the scale, positive; default 1.
        **layer_kwargs: Arguments name, dtype and trainable of `keras.layers.Layer`.

    Raises:
        ValueError: If f is no layer, has an output of another shape, or cannot repeat its output in the same state; if
            the input has no such axis, or its size is odd or unknown; or if the bound is not positive.

    Example:
        >>> coupling = AffineCoupling(keras.layers.Dense(4))
        >>> y, log_determinant = coupling.with_log_determinant(keras.ops.ones((3, 4)))
        >>> y.shape, log_determinant.shape
        (TensorShape([3, 4]), TensorShape([3]))
    """

    def __init__(self, f: keras.layers.Layer, split_axis: int = -1, bound: float = 1.0, **layer_kwargs):
        super().__init__(**layer_kwargs)
        self.f = layer_function.check_layer("f", f)
        self.split_axis = check_axis(split_axis)
        self.bound = checks.check_positive("bound", bound)

    def inner_layers(self) -> list[keras.layers.Layer]:
        return [self.f]

    def links(self, arguments: Arguments) -> list[Link]:
        axis = self.split_axis % self.input_spec.ndim
        return [AffineLink(axis, ScaleAndShift(self.f, axis, self.bound, arguments))]

    def build_inner(self, shape: tuple, arguments: Mapping):
        self.input_spec = split_spec(type(self).__name__, shape, self.split_axis)
        half = half_shape(shape, self.split_axis)
        layer_function.build(self.f, half, self.variable_dtype, arguments, output_shape=shape)

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "f": keras.saving.serialize_keras_object(self.f),
            "split_axis": self.split_axis,
            "bound": self.bound,
        }

    @classmethod
    def from_config(cls, config: dict):
        return cls(**{**config, "f": keras.saving.deserialize_keras_object(config["f"])})
