"""The model class of the package: a functional Keras model that also trains on several devices and machines."""

from __future__ import annotations

import inspect

import keras
import tensorflow as tf

from keras_pdecnn import distribute, layers
from keras_pdecnn.distribute import replicated
from keras_pdecnn.layers.plain import plain_operations
from keras_pdecnn.utils import arguments


@keras.saving.register_keras_serializable(package="keras_pdecnn")
class PDEModel(keras.Model):
    """A functional Keras model, as the builders of `models` return it; it has all methods of `keras.Model`.

    A model that is made and compiled in the scope of a `tf.distribute` strategy gives the same results in `fit`,
    `evaluate` and `predict` as on one device. This includes several workers
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

    def with_steps(self, steps) -> PDEModel:
        """Return a model with the same weights, whose blocks take another number of steps over the same time T = N h.

        The blocks must have a time basis: theta(t) is then evaluated at the times of the new steps. The weights are
        copied. As with `keras.models.clone_model`, the new model is compiled if this one is, with a new optimiser.

        Args:
            steps: Number of steps, one number or one per block.

        Returns:
            A `PDEModel`.

        Raises:
            ValueError: If a block has no time basis, or `steps` is no positive integer.

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
        model.set_weights(self.get_weights())
        return model

    def export(self, filepath, *args, **kwargs):
        """Export model and gradients as `keras.Model.export` does; the result is the same for every `backprop`."""
        with plain_operations(self):
            super().export(filepath, *args, **kwargs)

    def fit(self, *args, **kwargs):
        """Fit as `keras.Model.fit` does.

        Raises:
            ValueError: If the size of a batch is not divisible by the number of replicas.
        """
        if not self._is_replicated:
            return super().fit(*args, **kwargs)
        given = inspect.signature(super().fit).bind(*args, **kwargs)
        given.apply_defaults()
        settings = replicated.training_data(given.arguments, self.distribute_strategy)
        with replicated.report_uneven_batches():
            return super().fit(**settings)

    def test_step(self, data):
        if not self._is_replicated:
            return super().test_step(data)
        # The loss of no examples would be NaN.
        some = replicated.count_rows(data) > 0
        return tf.cond(some, lambda: super(PDEModel, self).test_step(data), self.get_metrics_result)

    def predict_step(self, data):
        if not self._is_replicated:
            return super().predict_step(data)
        # With oneDNN, convolutions of no examples have the wrong shape.
        rows = replicated.count_rows(data)
        outputs = super().predict_step(keras.tree.map_structure(replicated.pad_to_one_row, data))
        return keras.tree.map_structure(lambda output: output[:rows], outputs)

    @property
    def _is_replicated(self) -> bool:
        return self.distribute_strategy.num_replicas_in_sync > 1

    # The two methods of Keras that are overridden below are not public. Without this, `fit` over several workers fails
    # (keras issue 20585). Keras builds loss and metrics from a first batch, which it takes from the data and averages
    # over the replicas; shapes and types suffice for that, and a dataset that counts its passes keeps its first one.

    def _maybe_symbolic_build(self, iterator=None, data_batch=None):
        if self._is_replicated and iterator is not None:
            data_batch, iterator = replicated.first_replica(iterator._get_iterator().element_spec), None
        super()._maybe_symbolic_build(iterator=iterator, data_batch=data_batch)

    # Keras also averages the logs of all workers along axis 0, which a scalar does not have.
    def _make_function(self, step_function):
        if not distribute.in_cluster(self.distribute_strategy):
            return super()._make_function(step_function)

        def step(data):
            return keras.tree.map_structure(lambda value: tf.reshape(value, [1]), step_function(data))

        return super()._make_function(step)
