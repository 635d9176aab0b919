"""The base of the layers that evaluate a right-hand side F: settings, weights, configuration."""

from __future__ import annotations

import functools
from collections.abc import Callable

import keras
import numpy as np
from keras import ops

from keras_pdecnn.initializers import draw
from keras_pdecnn.layers.mixed_precision import convolution_dtype, pointwise_policy
from keras_pdecnn.ops import layout
from keras_pdecnn.ops.convolution import PADDINGS
from keras_pdecnn.ops.fields import Field
from keras_pdecnn.ops.normalization import normalization as find_normalization
from keras_pdecnn.ops.theta import Theta
from keras_pdecnn.utils import arguments


class FieldLayer(keras.layers.Layer):
    """Base class of the layers that evaluate a right-hand side F(theta, y).

    Features have the shape (batch, *space, channels) with one to three space axes.

    The normalisation "tv" is the paper's (eq. 9). The other three, None, "scale" and "shrinkage", are *provable*: with
    one of them and a small enough step size, a step of a `ParabolicBlock` never moves two inputs apart. "scale" trains
    one factor per filter, which a constraint keeps at 0 or above. "shrinkage" divides the activations of each pixel by
    sqrt(1 + their squared length). `ops.general_layer` has the formulas.

    Args:
        kernel_size: Odd integer, or one per space axis; default 3.
        filters: Inner width of F; default None, the number of channels that F acts on.
        activation: Pointwise function sigma without weights and without random numbers; default "relu".
        normalization: Name of the normalisation, "tv" (default), None, "scale" or "shrinkage". "shrinkage" needs the
            activation "relu" or "linear".
        epsilon: Positive number that smooths "tv"; default 1e-3.
        use_bias: Whether a trainable bias is added before the activation; default True.
        padding: Continuation of the features at the border, "same" (zeros, default) or "periodic".
        kernel_initializer: Initializer of a kernel; default "he_normal". Scales start at 1, biases at 0.
        kernel_regularizer: Regulariser of the kernel; default None.
        scale_regularizer: Regulariser of the scale; default None.
        bias_regularizer: Regulariser of the bias; default None.
        kernel_constraint: Constraint of the kernel; default None.
        data_format: Place of the channels in input and output, "channels_last" or "channels_first"; default None, the
            one of Keras's configuration.
        **layer_kwargs: Arguments name, dtype and trainable of `keras.layers.Layer`.

    Raises:
        ValueError: If an argument is outside its range, or the input does not have one to three space axes and a known
            number of channels.
    """

    symmetric = True

    def __init__(
        self,
        kernel_size: int | tuple[int, ...] = 3,
        filters: int | None = None,
        activation: str | Callable = "relu",
        normalization: str | None = "tv",
        epsilon: float = 1e-3,
        use_bias: bool = True,
        padding: str = "same",
        kernel_initializer: str | Callable = "he_normal",
        kernel_regularizer: str | Callable | None = None,
        scale_regularizer: str | Callable | None = None,
        bias_regularizer: str | Callable | None = None,
        kernel_constraint: str | Callable | None = None,
        data_format: str | None = None,
        **layer_kwargs,
    ):
        # The field casts by itself: only F is computed in the compute type, and the state keeps its digits.
        super().__init__(autocast=False, **arguments.check_layer_kwargs(layer_kwargs))
        self.kernel_size = arguments.check_odd_sizes("kernel_size", kernel_size)
        self.filters = None if filters is None else arguments.check_positive_integer("filters", filters)
        self.activation = arguments.look_up("activation", keras.activations.get, activation)
        self.epsilon = arguments.check_positive("epsilon", epsilon)
        accepted = find_normalization(normalization, self.epsilon).activations
        if accepted is not None and not any(self.activation is function for function in accepted):
            names = " or ".join(repr(function.__name__) for function in accepted)
            raise ValueError(
                f"normalization={normalization!r} needs the activation {names}: with others it is not monotone. "
                f"Received: activation={arguments.describe(activation)}"
            )
        self.normalization = normalization
        self.use_bias = arguments.check_flag("use_bias", use_bias)
        self.padding = arguments.check_choice("padding", padding, PADDINGS)
        regularizer, constraint = keras.regularizers.get, keras.constraints.get
        self.kernel_initializer = arguments.look_up(
            "kernel_initializer", keras.initializers.get, kernel_initializer, required=True
        )
        self.kernel_regularizer = arguments.look_up("kernel_regularizer", regularizer, kernel_regularizer)
        self.scale_regularizer = arguments.look_up("scale_regularizer", regularizer, scale_regularizer)
        self.bias_regularizer = arguments.look_up("bias_regularizer", regularizer, bias_regularizer)
        self.kernel_constraint = arguments.look_up("kernel_constraint", constraint, kernel_constraint)
        self.data_format = layout.standardize_data_format(data_format)

    def _add_field_weights(self, input_shape, parts=1, kernel_axes=(), vector_axes=(), initializer=None):
        """Create kernel, scale and bias; the given axes come before those of a single F."""
        rank, channels = len(input_shape) - 2, layout.shape_to_channels_last(input_shape, self.data_format)[-1]
        if not 1 <= rank <= 3 or not channels:
            raise ValueError(
                f"{type(self).__name__} needs features of shape {layout.feature_axes(self.data_format)} with one to "
                f"three space axes and a known number of channels. Received: input_shape={tuple(input_shape)}"
            )
        if channels % parts:
            raise ValueError(
                f"{type(self).__name__} divides the channels into {parts} equal parts, but {channels} is no multiple "
                f"of {parts}. Received: input_shape={tuple(input_shape)}"
            )
        size = arguments.per_entry("kernel_size", self.kernel_size, rank, "space axis")
        width = channels // parts
        filters = self.filters or width
        self._check_activation(rank, filters)
        self.kernel = self._add_theta(
            name="kernel",
            shape=(*kernel_axes, *size, width, filters),
            initializer=initializer or functools.partial(draw, self.kernel_initializer),
            regularizer=self.kernel_regularizer,
            constraint=self.kernel_constraint,
            autocast=False,
        )
        self.scale = self.bias = None
        sigma_of_n = self.field.sigma_of_n
        if sigma_of_n.has_scale:
            self.scale = self._add_theta(
                name="scale",
                shape=(*vector_axes, filters),
                initializer="ones",
                regularizer=self.scale_regularizer,
                constraint=sigma_of_n.scale_constraint,
                autocast=False,
            )
        if self.use_bias:
            self.bias = self._add_theta(
                name="bias",
                shape=(*vector_axes, filters),
                initializer="zeros",
                regularizer=self.bias_regularizer,
                autocast=False,
            )
        # The sizes of the space axes may differ from call to call, so the specification leaves them out.
        self.input_spec = keras.layers.InputSpec(ndim=rank + 2, axes={layout.channel_axis(self.data_format): channels})

    def _add_theta(self, *, initializer, regularizer=None, constraint=None, **settings):
        """Create one of the weights of theta, with the arguments of `add_weight`."""
        return self.add_weight(initializer=initializer, regularizer=regularizer, constraint=constraint, **settings)

    def _check_activation(self, rank: int, filters: int):
        """Refuse an activation that has weights, changes the shape (glu), or draws random numbers.

        Weights of the activation would not be part of theta and would have no gradient. Random numbers would differ
        between the forward pass and a gradient that computes activations again.
        """
        layer = self.activation if isinstance(self.activation, keras.layers.Layer) else None
        shape = (1,) * (rank + 1) + (filters,)
        if layer is not None and not layer.built:
            layer.build(shape)
        probe = ops.convert_to_tensor(np.linspace(-2, 2, 1024 * filters).reshape((1024, *shape[1:])), "float32")
        try:
            values = [self.activation(probe) for _ in range(2)]
            pointwise = all(tuple(value.shape) == tuple(probe.shape) for value in values)
        except Exception:  # the backends raise errors of their own
            pointwise = False
        # The variables of a layer include the states of its random numbers.
        if not pointwise or (layer is not None and layer.weights):
            raise ValueError(
                "activation must be a pointwise function without weights of its own. "
                f"Received: {arguments.describe(self.activation)}"
            )
        if (layer is not None and layer.variables) or not _agree(*values):
            raise ValueError(
                "activation must not draw random numbers, as a gradient that computes activations again would draw "
                "different ones. Use a dropout layer between blocks instead. "
                f"Received: {arguments.describe(self.activation)}"
            )

    @property
    def field(self) -> Field:
        """Right-hand side F without its weights, a `Field`."""
        return Field(
            activation=self.activation,
            normalization=self.normalization,
            epsilon=self.epsilon,
            padding=self.padding,
            symmetric=self.symmetric,
            compute_dtype=pointwise_policy(self).compute_dtype,
            convolution_dtype=convolution_dtype(self),
        )

    def theta(self) -> Theta:
        """Return the weights, a `Theta`: tensors by name."""
        named = {"kernel": self.kernel, "scale": self.scale, "bias": self.bias}
        return Theta((name, ops.convert_to_tensor(weight)) for name, weight in named.items() if weight is not None)

    def compute_output_shape(self, input_shape) -> tuple:
        return tuple(input_shape)

    def compute_output_spec(self, y):
        return keras.KerasTensor(y.shape, dtype=self.variable_dtype)

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "kernel_size": self.kernel_size,
            "filters": self.filters,
            "activation": keras.activations.serialize(self.activation),
            "normalization": self.normalization,
            "epsilon": self.epsilon,
            "use_bias": self.use_bias,
            "padding": self.padding,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "kernel_regularizer": keras.regularizers.serialize(self.kernel_regularizer),
            "scale_regularizer": keras.regularizers.serialize(self.scale_regularizer),
            "bias_regularizer": keras.regularizers.serialize(self.bias_regularizer),
            "kernel_constraint": keras.constraints.serialize(self.kernel_constraint),
            "data_format": self.data_format,
        }

    @classmethod
    def from_config(cls, config: dict):
        # Configurations from before there was a `data_format` have the channels last.
        return super().from_config({"data_format": "channels_last", **config})


def _agree(first, second) -> bool:
    """Return whether two evaluations are equal; symbolic values cannot be compared and count as equal."""
    try:
        return bool(np.array_equal(ops.convert_to_numpy(first), ops.convert_to_numpy(second), equal_nan=True))
    except (NotImplementedError, TypeError, ValueError, AttributeError):
        return True
