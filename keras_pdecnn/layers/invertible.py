"""The base of layers that are chains of invertible maps and keep one tensor for their gradient."""

from __future__ import annotations

import abc
import contextlib
import types
from collections.abc import Mapping

import keras
from keras import ops

from keras_pdecnn.layers import layer_function
from keras_pdecnn.layers.layer_function import Arguments, log_determinant
from keras_pdecnn.layers.plain import Exportable, plain_operations
from keras_pdecnn.ops.backend import chain as backend
from keras_pdecnn.ops.chain import Chain, Link
from keras_pdecnn.utils import arguments as checks


class InvertibleLayer(Exportable, keras.layers.Layer, abc.ABC):
    """A layer that is a chain of invertible maps, whose gradient runs the chain backwards from the output.

    A subclass says what layers it is made of, and which links they form.
    """

    def __init__(self, **layer_kwargs):
        # The layers inside cast by themselves: the state keeps its digits under a mixed policy.
        super().__init__(autocast=False, **checks.check_layer_kwargs(layer_kwargs))
        self.supports_masking = True
        self._latest = types.SimpleNamespace(losses=[])  # see `Arguments`

    @abc.abstractmethod
    def inner_layers(self) -> list[keras.layers.Layer]:
        """Return the layers that this one is made of, each once."""

    @abc.abstractmethod
    def links(self, arguments: Arguments) -> list[Link]:
        """Return the links of the chain, for further arguments of the call."""

    @abc.abstractmethod
    def build_inner(self, shape: tuple, arguments: Mapping):
        """Build the layers inside for a shape of the input; those that need arguments that are not given come later."""

    def accepts_argument(self, name: str) -> bool:
        """Return whether a layer inside has an argument of this name."""
        return any(layer_function.accepts(layer, name) for layer in self.inner_layers())

    def build(self, input_shape):
        if not self.trainable:
            # Keras hands the attribute on when it is set later, but not the argument.
            for layer in self.inner_layers():
                layer.trainable = False
        self.build_inner(tuple(input_shape), {})

    def call(self, x, mask=None, training=None, **arguments):
        """Return the output of the chain, of the shape of x.

        Args:
            x: Tensor; its type becomes that of the weights.
            mask: Mask, which layers inside get whose call has an argument `mask`; default None.
            training: Whether layers inside are in training; default None, as Keras decides.
            **arguments: Further arguments, passed on to all layers inside whose call has them.
        """
        return self._run(x, {"mask": mask, "training": training}, arguments)[0]

    def with_log_determinant(self, x, training=None, **arguments):
        """Return the output of the chain and the logarithm of its determinant.

        This is log |det J| for the derivative J of the output with respect to the input: |det J| is the factor by which
        the map changes volumes. The gradients of both run the chain backwards.

        Args:
            x: Tensor or array; its type becomes that of the weights.
            training: Whether layers inside are in training; default None, as Keras decides.
            **arguments: Further arguments, passed on to all layers inside whose call has them.

        Returns:
            Output of the shape of x, and logarithms of the shape (batch,), which are 0 for additive couplings.

        Raises:
            ValueError: If the determinant of a layer inside is not known.
        """
        self.check_volume()
        x = ops.convert_to_tensor(x, dtype=self.variable_dtype)
        if not self.built:
            self.build(tuple(x.shape))
        y, logarithms = self._run(x, {"training": training}, arguments)
        return y, sum(logarithms, ops.zeros_like(x[(slice(None), *[0] * (len(x.shape) - 1))]))

    def check_volume(self):
        """Raise ValueError if the determinant of a layer inside is not known."""

    def _run(self, x, settings: dict, arguments: dict) -> tuple:
        """Return the output of the chain, and the logarithms of the determinants of its affine couplings."""
        self._prepare(x.shape, arguments)
        x = ops.cast(x, self.variable_dtype)
        given = {**settings, **arguments}
        call = Arguments(given)
        chain = Chain(self.links(call))
        _check_mask(given.get("mask"), chain)
        if self._plain:
            return _run_plain(chain, x, given)
        self._latest.losses = call.losses
        variables = {id(variable): variable for layer in self.inner_layers() for variable in layer.variables}
        trainable = {id(variable) for layer in self.inner_layers() for variable in layer.trainable_variables}
        values = {key: ops.convert_to_tensor(variable) for key, variable in variables.items()} | call.tensors
        weights = {key: value for key, value in values.items() if key in trainable or (key < 0 and _is_floating(value))}
        others = {key: value for key, value in values.items() if key not in weights}
        y, changes, losses = backend.propagate(chain, x, weights, others)
        for key, value in changes.items():
            variables[key].assign(value)
        for loss in losses:
            if len(loss.shape) == 0:
                self.add_loss(loss)
        return y, [loss for loss in losses if len(loss.shape) > 0]

    def inverse(self, y, **arguments):
        """Return the input of which the layer, in inference, makes y, up to rounding.

        A layer that is not built yet is built for the shape of y.

        Args:
            y: Tensor or array of the shape of the output.
            **arguments: Further arguments, passed on to all layers inside whose call has them.

        Returns:
            Tensor of the shape of y.
        """
        y = ops.convert_to_tensor(y, dtype=self.variable_dtype)
        if not self.built:
            self.build(tuple(y.shape))
        self._prepare(y.shape, arguments)
        given = {"training": False, **arguments}
        return Chain(self.links(Arguments(given))).undo(
            y, lambda function, x: function.directly(x, given), lambda function, y: function.layer.inverse(y)
        )

    def _prepare(self, shape, arguments: Mapping):
        """Refuse arguments that no layer inside has, and build layers that have waited for them."""
        for name, value in arguments.items():
            if not self.accepts_argument(name):
                raise ValueError(f"No layer in {self.name} has an argument {name}. Received: {name}={value!r}")
        if not all(layer.built for layer in self.inner_layers()):
            self.build_inner(tuple(shape), arguments)

    def compute_output_shape(self, input_shape) -> tuple:
        return tuple(input_shape)

    def compute_output_spec(self, x, mask=None, training=None, **arguments):
        self._prepare(x.shape, arguments)
        return keras.KerasTensor(x.shape, dtype=self.variable_dtype)

    @contextlib.contextmanager
    def plain_operations(self, convolution_dtype=None):
        """Let the backend differentiate calls of this layer and of those inside, in this context."""
        inner = plain_operations(*self.inner_layers(), convolution_dtype=convolution_dtype)
        with super().plain_operations(convolution_dtype), inner:
            yield


def _run_plain(chain: Chain, x, arguments: Mapping) -> tuple:
    logarithms = []

    def evaluate(function, x):
        value = function.directly(x, arguments)
        if isinstance(value, tuple):
            logarithms.append(log_determinant(value))
        return value

    return chain.through(x, evaluate), logarithms


def _check_mask(mask, chain: Chain):
    """Refuse a mask whose axes are split, as the halves would need masks of their own."""
    axes = [link.axis for link in chain.links if link.axis is not None]
    if mask is not None and min(axes, default=len(mask.shape)) < len(mask.shape):
        raise ValueError(
            "A mask must not have the axis that is split. "
            f"Received: mask of shape {tuple(mask.shape)}, split_axis={min(axes)}"
        )


def _is_floating(tensor) -> bool:
    return keras.backend.is_float_dtype(keras.backend.standardize_dtype(tensor.dtype))
