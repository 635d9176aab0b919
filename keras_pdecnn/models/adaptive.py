"""A trained network whose blocks take as many steps as a tolerance asks for."""

from __future__ import annotations

import types
from typing import Any

import keras
from keras import ops

from keras_pdecnn import layers
from keras_pdecnn.models.refinement import carry_variables
from keras_pdecnn.utils import arguments


class AdaptiveBlock(keras.layers.Layer):
    """A block that doubles its steps until the features at the final time change by less than a tolerance.

    ||y_2n - y_n|| <= tolerance ||y_2n|| for every example of the batch, n = 1, 2, 4, …

    The number of steps depends on the features, so that the layer cannot be traced: a model with it runs eagerly.

    Args:
        block: Block that has been built. Its weights are read when a number of steps is first needed.
        tolerance: Tolerance, positive.
        max_steps: Largest number of steps, whose features are taken even if they have not settled.
        **layer_kwargs: Arguments name, dtype and trainable of `keras.layers.Layer`.

    Attributes:
        counts: Number of steps of the features that each call since the last reset has returned.
        evaluations: Number of steps that all calls have taken together, those of coarser attempts included.

    Example:
        >>> block = keras_pdecnn.layers.ParabolicBlock(4, 0.25, time_basis="linear", basis_size=2)
        >>> block.build((None, 8, 8, 4))
        >>> layer = AdaptiveBlock(block, tolerance=0.5)
        >>> layer(keras.ops.ones((1, 8, 8, 4))).shape, len(layer.counts)
        (TensorShape([1, 8, 8, 4]), 1)
    """

    def __init__(self, block: layers.PDEBlock, tolerance: float = 1e-2, max_steps: int = 256, **layer_kwargs):
        super().__init__(autocast=False, **layer_kwargs)
        self.block = block
        self.tolerance = arguments.check_positive("tolerance", tolerance)
        self.max_steps = arguments.check_positive_integer("max_steps", max_steps)
        self.counts: list[int] = []
        self.evaluations = 0
        # Keras would refuse new layers among the attributes of a layer that is built.
        self._cache = types.SimpleNamespace(blocks={})

    def build(self, input_shape):
        """Do nothing: the block is built."""

    def call(self, y):
        """Return the features at the final time, of the shape of y."""
        steps, new = 1, self._solve(y, 1)
        while 2 * steps <= self.max_steps:
            steps, old = 2 * steps, new
            new = self._solve(y, steps)
            if self._change(old, new) <= self.tolerance:
                break
        self.counts.append(steps)
        return new

    def _solve(self, y, steps: int):
        """Return the features after so many steps over the whole time."""
        self.evaluations += steps
        blocks = self._cache.blocks
        if steps not in blocks:
            block = self.block.with_steps(steps)
            block.build(tuple(y.shape))
            carry_variables(self.block.variables, block.variables, "linear")
            blocks[steps] = block
        return blocks[steps](y)

    @staticmethod
    def _change(old, new) -> float:
        axes = tuple(range(1, len(new.shape)))
        change, size = (ops.sqrt(ops.sum(part**2, axis=axes)) for part in (new - old, new))
        return float(ops.max(change / ops.maximum(size, 1e-12))) if new.shape[0] else 0.0

    def compute_output_spec(self, y):
        return keras.KerasTensor(y.shape, dtype=self.block.variable_dtype)


def adaptive(model: keras.Model, tolerance: float, max_steps: int) -> Any:
    """Return a copy of a model whose blocks are adaptive, see `PDEModel.adaptive`."""

    def clone(layer):
        copy = type(layer).from_config(layer.get_config())
        if not isinstance(layer, layers.PDEBlock):
            return copy
        copy.build_from_config(layer.get_build_config())
        return AdaptiveBlock(copy, tolerance, max_steps, name=layer.name)

    new = keras.models.clone_model(model, clone_function=clone)
    carry_variables(model.variables, new.variables, "linear")
    # The number of steps is not known before the features are. A model that is compiled keeps its loss and its metrics.
    if new.compiled:
        new.jit_compile, new.run_eagerly = False, True
    else:
        new.compile(run_eagerly=True)
    return new
