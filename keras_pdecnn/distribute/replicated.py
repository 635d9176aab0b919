"""Models on several replicas, and their data: batches that divide evenly, one order for all workers, empty batches."""

from __future__ import annotations

import contextlib
import inspect
import math
import re

import keras
import numpy as np
import tensorflow as tf

from keras_pdecnn import distribute
from keras_pdecnn.utils.datasets import untuned_options

_UNEVEN = (
    "The size of every global batch must be a multiple of the number of replicas; drop_remainder leaves out a smaller "
    "last one. Received: a batch of {} examples and {} replicas"
)


class ReplicatedModel(keras.Model):
    """A Keras model that trains under every strategy of `tf.distribute` as on one device, see `models.PDEModel`."""

    def fit(self, *args, **kwargs):
        """Fit as `keras.Model.fit` does.

        Raises:
            ValueError: If the size of a batch is not divisible by the number of replicas.
        """
        if not self._is_replicated:
            return super().fit(*args, **kwargs)
        given = inspect.signature(super().fit).bind(*args, **kwargs)
        given.apply_defaults()
        settings = training_data(given.arguments, self.distribute_strategy)
        with report_uneven_batches():
            return super().fit(**settings)

    def test_step(self, data):
        if not self._is_replicated:
            return super().test_step(data)
        # The loss of no examples would be NaN.
        some = count_rows(data) > 0
        return tf.cond(some, lambda: super(ReplicatedModel, self).test_step(data), self.get_metrics_result)

    def predict_step(self, data):
        if not self._is_replicated:
            return super().predict_step(data)
        # With oneDNN, convolutions of no examples have the wrong shape.
        rows = count_rows(data)
        outputs = super().predict_step(keras.tree.map_structure(pad_to_one_row, data))
        return keras.tree.map_structure(lambda output: output[:rows], outputs)

    @property
    def _is_replicated(self) -> bool:
        return self.distribute_strategy.num_replicas_in_sync > 1

    # The two methods of Keras that are overridden below are not public. Without this, `fit` over several workers fails
    # (keras issue 20585). Keras builds loss and metrics from a first batch, which it takes from the data and averages
    # over the replicas; shapes and types suffice for that, and a dataset that counts its passes keeps its first one.
    # It is also where `fit` and `evaluate` have made their dataset of arrays, but not yet an iterator.

    def _maybe_symbolic_build(self, iterator=None, data_batch=None):
        if iterator is not None and type(iterator.data_adapter).__name__ == "ArrayDataAdapter":
            iterator._distributed_dataset = without_tuning(iterator._distributed_dataset)
        if self._is_replicated and iterator is not None:
            data_batch, iterator = first_replica(iterator._get_iterator().element_spec), None
        super()._maybe_symbolic_build(iterator=iterator, data_batch=data_batch)

    # Keras also averages the logs of all workers along axis 0, which a scalar does not have.
    def _make_function(self, step_function):
        if not distribute.in_cluster(self.distribute_strategy):
            return super()._make_function(step_function)

        def step(data):
            return keras.tree.map_structure(lambda value: tf.reshape(value, [1]), step_function(data))

        return super()._make_function(step)


def without_tuning(dataset):
    """Return a dataset whose iterators have no thread that tunes them; a distributed one is returned as it is."""
    return dataset.with_options(untuned_options()) if isinstance(dataset, tf.data.Dataset) else dataset


def check_divides(sizes, strategy: tf.distribute.Strategy):
    """Raise ValueError if a global batch of one of these sizes does not divide by the number of replicas."""
    replicas = strategy.num_replicas_in_sync
    for size in sizes:
        if size % replicas:
            raise ValueError(_UNEVEN.format(size, replicas))


def training_data(settings: dict, strategy: tf.distribute.Strategy) -> dict:
    """Return the arguments of `keras.Model.fit` with data whose batches are divided equally over the replicas.

    Raises:
        ValueError: If a batch is known not to divide; `report_uneven_batches` reports those found while training.
    """
    x, replicas = settings["x"], strategy.num_replicas_in_sync
    if isinstance(x, tf.data.Dataset):
        size = tf.nest.flatten(x.element_spec)[0].shape[0]
        if size is not None:
            check_divides([size], strategy)
        return settings | {"x": x.map(lambda *batch: _checked(batch, replicas)), "shuffle": False}
    arrays = [entry for entry in keras.tree.flatten((x, settings["y"], settings["sample_weight"])) if entry is not None]
    if not all(isinstance(entry, np.ndarray | tf.Tensor) for entry in arrays):
        return settings
    count, batch_size = len(arrays[0]), settings["batch_size"] or 32
    if settings["validation_split"] and settings["validation_data"] is None:
        count = math.floor(count * (1 - settings["validation_split"]))
    check_divides([min(batch_size, count), count % batch_size], strategy)
    if settings["shuffle"] and distribute.in_cluster(strategy):
        settings = _shuffled_alike(settings, strategy, count, batch_size)
    return settings


@contextlib.contextmanager
def report_uneven_batches():
    """Raise a ValueError for a batch that does not divide, which TensorFlow reports as another error."""
    try:
        yield
    except tf.errors.InvalidArgumentError as error:
        message = re.search(re.escape(_UNEVEN).replace(r"\{\}", r"\d+"), str(error))
        if not message:
            raise
        raise ValueError(message.group()) from error


def count_rows(data) -> tf.Tensor:
    """Return the number of examples of a batch."""
    return tf.shape(keras.tree.flatten(data)[0])[0]


def pad_to_one_row(batch):
    """Return one example of zeros in place of a batch without examples; leave other batches unchanged."""
    missing = tf.maximum(1 - tf.shape(batch)[0], 0)
    return tf.pad(batch, [[0, missing], *[[0, 0]] * (len(batch.shape) - 1)])


def first_replica(spec):
    """Return the specs of the entries of a distributed dataset on the first replica."""
    return tf.nest.map_structure(lambda entry: tf.nest.flatten(entry, expand_composites=True)[0], spec)


def _checked(batch: tuple, replicas: int):
    size = count_rows(batch)
    text = tf.strings.format(_UNEVEN, (size, replicas))
    with tf.control_dependencies([tf.debugging.Assert(size % replicas == 0, [text])]):
        return keras.tree.map_structure(tf.identity, batch)


def _shuffled_alike(settings: dict, strategy, count: int, batch_size: int) -> dict:
    """Replace arrays by a dataset in an order that is the same on all workers and changes with each epoch."""
    seed = distribute.from_chief(strategy, lambda: int(np.random.randint(2**31)))
    names = ("x", "y", "sample_weight")
    arrays = [settings[name] for name in names]
    if settings["validation_split"] and settings["validation_data"] is None:
        settings["validation_data"] = tuple(_rows(entry, slice(count, None)) for entry in arrays)
    data = keras.utils.pack_x_y_sample_weight(*(_rows(entry, slice(count)) for entry in arrays))
    with tf.device("CPU:0"):
        data = keras.tree.map_structure(tf.convert_to_tensor, data)

    def batches(epoch):
        rows = tf.random.experimental.stateless_shuffle(tf.range(count), tf.stack([tf.constant(seed, tf.int64), epoch]))
        return tf.data.Dataset.from_tensor_slices(rows).batch(batch_size)

    options = untuned_options()
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    dataset = tf.data.Dataset.counter().flat_map(batches)
    dataset = dataset.map(lambda rows: keras.tree.map_structure(lambda entry: tf.gather(entry, rows), data))
    return settings | {
        **dict.fromkeys(names),
        "x": dataset.prefetch(tf.data.AUTOTUNE).with_options(options),
        "batch_size": None,
        "shuffle": False,
        "validation_split": 0.0,
        "steps_per_epoch": settings["steps_per_epoch"] or math.ceil(count / batch_size),
        "validation_batch_size": settings["validation_batch_size"] or batch_size,
    }


def _rows(entry, rows: slice):
    return None if entry is None else keras.tree.map_structure(lambda array: array[rows], entry)
