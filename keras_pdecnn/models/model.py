"""The model class of the package: a functional Keras model that also trains on several devices and machines."""

from __future__ import annotations

import inspect
from typing import Any

import keras

from keras_pdecnn import layers
from keras_pdecnn.layers.plain import plain_operations
from keras_pdecnn.models.adaptive import adaptive
from keras_pdecnn.models.refinement import at_resolution, carry_optimizer, carry_variables
from keras_pdecnn.ops.backend import primitives
from keras_pdecnn.utils import arguments
from keras_pdecnn.utils.optimizers import build_optimizer, separate_weights

_Base: Any = keras.Model
if keras.backend.backend() == "tensorflow":
    from keras_pdecnn.distribute.replicated import ReplicatedModel

    _Base = ReplicatedModel


@keras.saving.register_keras_serializable(package="keras_pdecnn")
class PDEModel(_Base):
    """A functional Keras model, as the builders of `models` return it; it has all methods of `keras.Model`.

    With TensorFlow, a model that is made and compiled in the scope of a `tf.distribute` strategy gives the same results
    in `fit`, `evaluate` and `predict` as on one device. This includes several workers
    (`tf.distribute.MultiWorkerMirroredStrategy`), which Keras alone does not support:

    * Batches are global, and each replica takes its part of them. In `fit` the size of every batch must be divisible by
      the number of replicas. In `evaluate` and `predict` it need not be: a replica without examples in the last batch
      does nothing.
    * Every worker calls the method with the same data. `fit` on arrays with `shuffle=True` shuffles them in the same
      way on all workers, and `predict` returns all predictions on every worker.

    Args:
        *args, **kwargs: Arguments of `keras.Model`, which the builders give.

    Example:
        >>> model = keras_pdecnn.models.HamiltonianCNN((8, 8, 1), classes=10, widths=(4, 8))
        >>> model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
        >>> [(block.name, block.steps) for block in model.blocks]
        [('block_1', 3), ('block_2', 3)]
    """

    @property
    def blocks(self) -> list[layers.PDEBlock]:
        """The blocks of the network, in order."""
        return [layer for layer in self.layers if isinstance(layer, layers.PDEBlock)]

    def with_steps(self, steps, interpolation: str = "linear", optimizer_state: bool = False) -> PDEModel:
        """Return a model with the same weights, whose blocks take another number of steps over the same time.

        Blocks with a time basis evaluate theta(t) at the times of the new steps, and their weights are copied. The
        weights of other blocks are interpolated from the old times j h to the new ones. Weights at times that are old
        and new stay as they are, so that to double the number of steps and halve it again gives the same model. Step
        sizes are scaled, and so are `TimeSmoothness` regularisers.

        As with `keras.models.clone_model`, the new model is compiled if this one is.

        Args:
            steps: Number of steps, one number or one per block.
            interpolation: Weights between two old times, "linear" (default), or "constant", those of the earlier time.
            optimizer_state: Whether the new optimiser takes its step counter and its moments from the one of this
                model, interpolated as the weights are; default False, it starts anew.

        Returns:
            A `PDEModel`.

        Raises:
            ValueError: If `steps` is no positive integer, `interpolation` is another name, or there is no state of an
                optimiser to take.

        Example:
            >>> model = keras_pdecnn.models.ParabolicCNN((8, 8, 1), 10, steps=4, time_basis="linear", basis_size=3)
            >>> [(block.steps, block.step_size) for block in model.with_steps(8).blocks]
            [(8, 0.5), (8, 0.5), (8, 0.5)]
        """
        counts = arguments.per_entry("steps", steps, len(self.blocks), "block")
        changed = {block.name: block.with_steps(n) for block, n in zip(self.blocks, counts, strict=True)}

        def clone(layer):
            return changed.get(layer.name) or type(layer).from_config(layer.get_config())

        model = keras.models.clone_model(self, clone_function=clone)
        carry_variables(self.variables, model.variables, interpolation)
        if arguments.check_flag("optimizer_state", optimizer_state):
            carry_optimizer(self, model, interpolation)
        return model

    def at_resolution(self, factor: float, method: str = "copy") -> PDEModel:
        """Return a model with the same weights for images of another size.

        The kernels of the opening and of the blocks are carried over to the other mesh width, everything else is
        copied: connectors, normalisations, and the number of poolings. Steps and step sizes stay as they are.

        Args:
            factor: Size of the new images, as a multiple of the old one: a power of 2 such as 1/2 or 2.
            method: Way in which kernels are carried over: "copy" (default), the same kernels; "galerkin", see
                `operators.coarsen` and `operators.refine`; or "operators", the same differential operators at the other
                mesh width, see `operators.rediscretize`. On photographs, copies are far better than the other two.

        Returns:
            A `PDEModel`.

        Raises:
            ValueError: If the factor is no power of 2, the images do not have such a size, kernels have another size
                than 1 or 3, or the classifier reads single pixels.

        Example:
            >>> model = keras_pdecnn.models.ParabolicCNN((16, 16, 1), classes=10)
            >>> model.at_resolution(1 / 2).input_shape
            (None, 8, 8, 1)
        """
        return at_resolution(self, factor, method)

    def adaptive(self, tolerance: float = 1e-2, max_steps: int = 256) -> PDEModel:
        """Return a model for evaluation whose blocks choose their number of steps by a tolerance.

        Each block doubles its steps over the same time, from 1 on, until the features of every example of the batch
        change by less than the tolerance, relative to their length. So the number of steps differs from batch to batch.
        `block.counts` of the layers has the numbers of steps, and `block.evaluations` all steps that were taken. Blocks
        with a time basis are functions of continuous time; the weights of others are interpolated.

        Args:
            tolerance: Tolerance, a positive number; default 0.01.
            max_steps: Largest number of steps; default 256.

        Returns:
            A `PDEModel` that runs eagerly, with copies of the weights, and with the loss and the metrics of this model
            if it is compiled. It cannot be saved.

        Raises:
            ValueError: If the tolerance is not positive, or `max_steps` is no positive integer.
        """
        return adaptive(self, tolerance, max_steps)

    def export(self, filepath, *args, **kwargs):
        """Export model and gradients as `keras.Model.export` does; the result is the same for every `backprop`."""
        with plain_operations(self):
            super().export(filepath, *args, **kwargs)

    def compile(self, *args, **kwargs):
        """Compile as `keras.Model.compile` does."""
        super().compile(*args, **kwargs)
        given = inspect.signature(super().compile).bind(*args, **kwargs)
        given.apply_defaults()
        self._jit_compile_as_given = given.arguments["jit_compile"]

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """Compute the loss as `keras.Model.compute_loss` does, with outputs in a layout that every loss can use."""
        # A network that returns images with the channels first ends with a layer of this name.
        axis = 1 if any(layer.name == "channels_first" for layer in self.layers) else -1
        y_pred = keras.tree.map_structure(lambda output: primitives.for_loss(output, axis), y_pred)
        return super().compute_loss(x, y, y_pred, sample_weight, training)

    def fit(self, *args, **kwargs):
        """Fit as `keras.Model.fit` does; the averages of an optimiser with `use_ema=True` stay intact under JAX."""
        history = super().fit(*args, **kwargs)
        separate_weights(self)
        return history

    def make_train_function(self, force=False):
        """Make the function of a training step as Keras does, with the variables of the optimiser already there.

        If they were made in the first step, TensorFlow would trace it once more without them.
        """
        if self.optimizer is not None:
            build_optimizer(self)
        super().make_train_function(force)

    def get_compile_config(self):
        """Return the arguments of `compile` in a form that suits every backend.

        An optimiser has the name that every backend knows, and `jit_compile` is "auto" where it was not given: what
        "auto" stands for depends on the backend.
        """
        config = _portable(super().get_compile_config())
        return config and {**config, "jit_compile": self._jit_compile_as_given}

    def compile_from_config(self, config):
        """Compile as `get_compile_config` says."""
        # Keras does this itself unless `compile` is overridden.
        self.compile(**keras.saving.deserialize_keras_object(config))
        if self.optimizer is not None and self.built:
            build_optimizer(self)


def _portable(config):
    """Return a configuration in which the optimisers that Keras has for PyTorch alone have their public names."""
    if isinstance(config, list | tuple):
        return type(config)(map(_portable, config))
    if not isinstance(config, dict):
        return config
    config = {key: _portable(value) for key, value in config.items()}
    if str(config.get("module")).startswith("keras.src.backend.torch.optimizers."):
        config |= {"module": "keras.optimizers", "registered_name": None}
    return config
