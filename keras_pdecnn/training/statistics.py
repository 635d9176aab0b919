"""The statistics of batch normalisations, and the network that is validated while another one is trained."""

from __future__ import annotations

import contextlib

import keras

from keras_pdecnn import data
from keras_pdecnn.utils.optimizers import separate_weights

VALIDATION_BATCHES = 20
"""Number of training batches on which statistics are estimated before a validation."""

FINAL_BATCHES = 100
"""Number of training batches on which statistics are estimated at the end of a training."""


def estimate_statistics(model: keras.Model, batches):
    """Set the statistics of all batch normalisations of a model to the mean of those of some batches.

    Training moves them by an exponential average, which lags behind weights that change fast and does not belong to
    weights that are themselves averages. A model without batch normalisations is left as it is.

    Args:
        model: The model.
        batches: Iterable of (x, label), or of x, in the form in which the model is trained on them.

    Example:
        >>> model = keras.Sequential([keras.Input((1,)), keras.layers.BatchNormalization()])
        >>> estimate_statistics(model, [keras.ops.array([[1.0], [3.0]]), keras.ops.array([[5.0], [7.0]])])
        >>> float(model.layers[0].moving_mean[0])
        4.0
    """
    # Connectors hold their batch normalisation as an attribute.
    parts = [part for layer in model.layers for part in (layer, getattr(layer, "normalization", None))]
    layers = [part for part in parts if isinstance(part, keras.layers.BatchNormalization)]
    if not layers:
        return
    strategy = getattr(model, "distribute_strategy", None)  # with TensorFlow
    with strategy.scope() if strategy else contextlib.nullcontext(), _momenta_restored(layers):
        for count, batch in enumerate(batches):
            x = batch[0] if isinstance(batch, tuple) else batch
            for layer in layers:
                layer.momentum = count / (count + 1)
            model(keras.ops.convert_to_tensor(keras.ops.convert_to_numpy(x)), training=True)


@contextlib.contextmanager
def _momenta_restored(layers):
    momenta = [layer.momentum for layer in layers]
    try:
        yield
    finally:
        for layer, momentum in zip(layers, momenta, strict=True):
            layer.momentum = momentum


class EvaluationWeights(keras.callbacks.Callback):
    """Validates the network that the training would end with at this moment, and then goes on with the other one.

    Its weights are the averages of an optimiser with `use_ema=True`, if it has them, and its batch statistics are
    estimated for these weights on batches of the epoch. The statistics stay; training does not depend on them.

    Args:
        dataset: A `data.Data`, from which the batches are taken.
        averaged: Whether the optimiser averages the weights.

    Example:
        >>> callback = EvaluationWeights(keras_pdecnn.data.load("digits"), averaged=True)
        >>> model.compile(keras.optimizers.SGD(0.1, use_ema=True), "mse")  # doctest: +SKIP
        >>> model.fit(dataset.train, validation_data=dataset.validation, callbacks=[callback])  # doctest: +SKIP
    """

    def __init__(self, dataset: data.Data, averaged: bool):
        super().__init__()
        self._dataset = dataset
        self._averaged = averaged
        self._epoch = 0

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch = epoch

    def on_test_begin(self, logs=None):
        if self._averaged:
            weights = self.model.trainable_variables
            self._trained = [keras.ops.convert_to_numpy(weight).copy() for weight in weights]
            self.model.optimizer.finalize_variable_values(weights)
            separate_weights(self.model)
        estimate_statistics(self.model, first_batches(self._dataset, self._epoch, VALIDATION_BATCHES))

    def on_test_end(self, logs=None):
        if self._averaged:
            for weight, value in zip(self.model.trainable_variables, self._trained, strict=True):
                weight.assign(value)


def first_batches(dataset: data.Data, epoch: int, count: int):
    """Return a dataset of the first `count` training batches of an epoch, or of all of them if there are fewer."""
    return dataset.epochs(epoch).take(min(count, dataset.steps_per_epoch))
