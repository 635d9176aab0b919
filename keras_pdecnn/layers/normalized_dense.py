"""A dense layer whose Lipschitz constant is given."""

from __future__ import annotations

import functools

import keras
import numpy as np
from keras import ops

from keras_pdecnn.initializers import draw
from keras_pdecnn.ops import exact
from keras_pdecnn.ops.limits import lipschitz as lipschitz_constant
from keras_pdecnn.ops.norms import norm_bound
from keras_pdecnn.utils import arguments

_TINY = 1e-14  # the square of the smallest length that a column is divided by

SQUARINGS = 4  # the matrix is small, so that a tight bound is cheap


@keras.saving.register_keras_serializable(package="keras_pdecnn")
class NormalizedDense(keras.layers.Layer):
    """A dense layer with the Lipschitz constant `lipschitz` before its activation.

    y -> activation(lipschitz * W^T y / b(W) + bias),   (batch, features) -> (batch, units)

    With `per_unit`, every column of W is divided by its own length instead (last-layer normalisation of Singla, Singla
    and Feizi, Improved deterministic l2 robustness, 2022). Each output then has the constant `lipschitz` by itself, and
    all outputs together have at most sqrt(units) times as much. Certified radii are computed from the distances of the
    columns of the matrix in use, so that they are valid for both.

    b(W) >= ||W|| is the bound of `ops.norm_bound`. As the weights cannot move two logits further apart than the
    distance of their inputs allows, the cross-entropy falls only where features of different classes are far apart; a
    smaller `lipschitz` asks for larger distances. The output has the compute type of the policy.

    Args:
        units: Number of outputs.
        lipschitz: Lipschitz constant before the activation, positive; default 1.
        activation: Activation function; default None, the identity.
        kernel_initializer: Initializer of W; default "orthogonal".
        kernel_regularizer: Regulariser of W; default None.
        bias_regularizer: Regulariser of the bias; default None.
        per_unit: Whether each output has the constant `lipschitz`, instead of all outputs together; default False.
        **layer_kwargs: name, dtype, trainable of `keras.layers.Layer`.

    Raises:
        ValueError: If an argument is outside its range, or the input has not the shape (batch, features) with a known
            number of features.

    Example:
        >>> NormalizedDense(3)(keras.ops.ones((2, 8))).shape
        TensorShape([2, 3])
    """

    def __init__(
        self,
        units,
        lipschitz=1.0,
        activation=None,
        kernel_initializer="orthogonal",
        kernel_regularizer=None,
        bias_regularizer=None,
        per_unit=False,
        **layer_kwargs,
    ):
        super().__init__(**arguments.check_layer_kwargs(layer_kwargs))
        self.units = arguments.check_positive_integer("units", units)
        self.lipschitz = arguments.check_positive("lipschitz", lipschitz)
        self.per_unit = arguments.check_flag("per_unit", per_unit)
        self.activation = arguments.look_up("activation", keras.activations.get, activation)
        self.kernel_initializer = arguments.look_up(
            "kernel_initializer", keras.initializers.get, kernel_initializer, required=True
        )
        self.kernel_regularizer = arguments.look_up("kernel_regularizer", keras.regularizers.get, kernel_regularizer)
        self.bias_regularizer = arguments.look_up("bias_regularizer", keras.regularizers.get, bias_regularizer)

    def build(self, input_shape):
        if len(input_shape) != 2 or not input_shape[-1]:
            raise ValueError(
                "NormalizedDense needs an input of shape (batch, features) with a known number of features. "
                f"Received: input_shape={tuple(input_shape)}"
            )
        self.kernel = self.add_weight(
            name="kernel",
            shape=(input_shape[-1], self.units),
            initializer=functools.partial(draw, self.kernel_initializer),
            regularizer=self.kernel_regularizer,
            autocast=False,  # its bound is taken in the type of the weights
        )
        self.bias = self.add_weight(
            name="bias", shape=(self.units,), initializer="zeros", regularizer=self.bias_regularizer
        )
        self.input_spec = keras.layers.InputSpec(ndim=2, axes={-1: input_shape[-1]})

    def call(self, y):
        return self.activation(exact.matmul(y, ops.cast(self.normalized_kernel(), self.compute_dtype)) + self.bias)

    def normalized_kernel(self):
        """Return the matrix that the input is multiplied by, (features, units)."""
        kernel = ops.convert_to_tensor(self.kernel)
        if self.per_unit:
            squared = ops.sum(ops.square(kernel), axis=0)
            return kernel * (self.lipschitz / exact.sqrt(exact.maximum(squared, _TINY)))
        # A matrix is a convolution with one pixel. The quotient of a matrix of zeros is 0, too.
        bound = norm_bound(kernel[None], squarings=SQUARINGS)
        return kernel * (self.lipschitz / exact.maximum(bound, keras.config.epsilon()))

    def logits_bound(self) -> float:
        """Return the l2 Lipschitz constant of the layer before its activation.

        It is at most `lipschitz` up to rounding, or with `per_unit` at most sqrt(units) times that.
        """
        return float(np.linalg.norm(np.asarray(ops.convert_to_numpy(self.normalized_kernel()), np.float64), 2))

    def lipschitz_bound(self, input_shape) -> float:
        """Return an upper bound of the l2 Lipschitz constant of the layer with its activation.

        Args:
            input_shape: Shape of the input; the bound is the same for every one.

        Raises:
            ValueError: If no Lipschitz constant of the activation is known.
        """
        return lipschitz_constant(self.activation) * self.logits_bound()

    def compute_output_shape(self, input_shape):
        return (input_shape[0], self.units)

    def get_config(self):
        return {
            **super().get_config(),
            "units": self.units,
            "lipschitz": self.lipschitz,
            "per_unit": self.per_unit,
            "activation": keras.activations.serialize(self.activation),
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "kernel_regularizer": keras.regularizers.serialize(self.kernel_regularizer),
            "bias_regularizer": keras.regularizers.serialize(self.bias_regularizer),
        }
