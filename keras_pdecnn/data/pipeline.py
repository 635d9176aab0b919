"""Batches of examples in memory or in files: every training batch is a pure function of (seed, epoch, batch)."""

import dataclasses
import itertools
import math
from typing import Any

import numpy as np
import tensorflow as tf

from keras_pdecnn.data import draws
from keras_pdecnn.data.augmentation import Augmentation
from keras_pdecnn.data.crops import DRAWS
from keras_pdecnn.data.pixels import Pixels
from keras_pdecnn.data.stored import Held, Stored, is_stored
from keras_pdecnn.utils.datasets import untuned_options


@dataclasses.dataclass(frozen=True)
class Piece:
    """The part of each batch that one replica of several trains on.

    Args:
        number: Number of the replica, counted from 0 over all workers.
        count: Number of all replicas.
    """

    number: int
    count: int

    def positions(self, size):
        """Return the places in a batch of so many examples that belong to this part."""
        return tf.range(self.number * size // self.count, (self.number + 1) * size // self.count)


@dataclasses.dataclass(frozen=True)
class Examples:
    """Some of the examples of a data set and their labels, in batches.

    Args:
        x: A `stored.Stored`, the examples.
        y: Tensor of targets, in host memory: int32 labels of shape `(n,)`, or what another task has. None for targets
            that are the examples themselves.
        rows: int64 tensor of the rows of `x` and `y` that belong to this part, in order.
        batch_size: Number of rows per batch.
        drop_remainder: Whether to drop a smaller last batch. Default False.
        pixels: What is done to examples and targets of every pixel. Default None, other targets.
    """

    x: Stored
    y: tf.Tensor | None
    rows: tf.Tensor
    batch_size: int
    drop_remainder: bool = False
    pixels: Pixels | None = None

    @property
    def steps(self):
        """Number of batches."""
        count = len(self.rows) / self.batch_size
        return math.floor(count) if self.drop_remainder else math.ceil(count)

    @property
    def batch_sizes(self):
        """The one or two sizes that batches have."""
        full, rest = divmod(len(self.rows), self.batch_size)
        last = rest and not self.drop_remainder
        return ([self.batch_size] if full else []) + ([rest] if last else [])

    def slice(self, rows, batch):
        """Return the entries of the vector `rows` that are batch number `batch`."""
        rows = rows[batch * self.batch_size : (batch + 1) * self.batch_size]
        full = self.drop_remainder or len(self.rows) % self.batch_size == 0
        return tf.ensure_shape(rows, (self.batch_size if full else None,))

    def gather(self, rows, window=None):
        """Return the examples and labels in these rows; `window` is that of `stored.Stored.batch`."""
        x = self.x.batch(rows, window)
        return x, x if self.y is None else tf.gather(self.y, rows)

    def shown(self, rows):
        """Return the examples and labels in these rows as they are evaluated."""
        x, y = self.gather(rows)
        return (x, y) if self.pixels is None else self.pixels.in_evaluation(x, y, rows)

    def in_order(self, pieces=None):
        """Return a dataset of the batches in an order that never changes.

        Args:
            pieces: The `Piece` of each replica of one worker; default None, whole batches.
        """
        batches = tf.data.Dataset.range(self.steps)
        if pieces is None:
            return _feed(batches, lambda batch: self.shown(self.slice(self.rows, batch)))

        def gather(batch, number, count):
            rows = self.slice(self.rows, batch)
            return self.shown(tf.gather(rows, Piece(number, count).positions(tf.shape(rows)[0])))

        return _feed(batches.flat_map(_for_each(pieces)), gather)

    def labels(self):
        """Return the labels of the batches in order, an array of shape `(n,)`."""
        return tf.gather(self.y, self.rows).numpy()

    def spread(self, count):
        """Return (x, labels) of examples at equal distances, at most `count` of them; nothing else is read."""
        places = np.linspace(0, len(self.rows) - 1, min(count, len(self.rows))).round().astype(int)
        x, y = self.shown(tf.gather(self.rows, np.unique(places)))
        return x.numpy(), y.numpy()


@dataclasses.dataclass(frozen=True)
class Training:
    """The plan of the training: each epoch has its own order and its own augmentation.

    Args:
        examples: Training part.
        seed: Seed that determines, with the number of the epoch, the order and the augmentation.
        augmentation: An `Augmentation`; default None.
        classes: Number of classes; needed by an augmentation that mixes labels, which are then probabilities.
        crops: Whether the examples are windows of images that are drawn at random; default False.
    """

    examples: Examples
    seed: int
    augmentation: Augmentation | None = None
    classes: int | None = None
    crops: bool = False

    def endless(self, first, pieces=None):
        """Return a dataset of the batches of the epochs `first`, `first + 1`, ...

        Args:
            first: Number of the first epoch.
            pieces: The `Piece` of each replica of one worker, whose parts of a batch follow each other. Their examples
                are those of the whole batch, and only these are read and augmented; with mixing, their neighbours too.
                Default None, whole batches.
        """
        dataset = self._batches(tf.data.Dataset.counter(first), pieces)
        return dataset.apply(tf.data.experimental.assert_cardinality(tf.data.INFINITE_CARDINALITY))

    def one_by_one(self):
        """Return a dataset of the batches of one epoch: the k-th pass over it is epoch k."""
        numbers = itertools.count()
        epoch = tf.data.Dataset.from_generator(
            lambda: itertools.islice(numbers, 1), output_signature=tf.TensorSpec((), tf.int64)
        )
        return self._batches(epoch).apply(tf.data.experimental.assert_cardinality(self.examples.steps))

    def _batches(self, epochs, pieces=None):
        plans = epochs.flat_map(as_it_is(self._plan))
        return _feed(plans, self._batch) if pieces is None else _feed(plans.flat_map(_for_each(pieces)), self._piece)

    def _plan(self, epoch):
        """Return the rows of each batch of an epoch, and the key of the batch's augmentation."""
        key = tf.stack([tf.constant(self.seed, tf.int64), epoch])
        order_key, augmentation_key = tf.unstack(tf.random.experimental.stateless_split(key, 2, alg="philox"))
        rows = tf.random.experimental.stateless_shuffle(self.examples.rows, order_key, alg="philox")

        def plan(batch):
            batch_key = tf.random.experimental.stateless_fold_in(augmentation_key, batch, alg="philox")
            return self.examples.slice(rows, batch), batch_key

        return tf.data.Dataset.range(self.examples.steps).map(as_it_is(plan))

    def _piece(self, rows, key, number, count):
        """Return the part of a batch that belongs to one of several replicas."""
        size = tf.shape(rows)[0]
        positions = Piece(number, count).positions(size)
        if not self._mixes:
            return self._batch(tf.gather(rows, positions), draws.Key(key, positions, size))
        # The neighbour of the first example, too: an example is mixed with the one before it.
        positions = tf.concat([(positions[:1] - 1) % size, positions], 0)
        x, y = self._batch(tf.gather(rows, positions), draws.Key(key, positions, size))
        return x[1:], y[1:]

    @property
    def _mixes(self):
        return self.augmentation is not None and self.augmentation.mixes

    def _batch(self, rows, key):
        window = None
        if self.crops:
            window = draws.fractions(draws.key_of(key, "crop"), (tf.shape(rows)[0], DRAWS))
        x, y = self.examples.gather(rows, window)
        if self.examples.pixels is not None:
            return self.examples.pixels.in_training(x, y, self.augmentation, key)
        if self.augmentation is None:
            return x, y
        x = self.augmentation(x, key)
        return self.augmentation.mix(x, tf.one_hot(y, self.classes), key) if self.augmentation.mixes else (x, y)


def _for_each(pieces):
    """Return the function from a plan to a dataset of it with the number of each piece and that of all."""
    numbers = tf.constant([(piece.number, piece.count) for piece in pieces], tf.int32)

    def repeat(*plan):
        return tf.data.Dataset.from_tensor_slices(numbers).map(as_it_is(lambda number: (*plan, number[0], number[1])))

    return as_it_is(repeat)


def with_probabilities(dataset, classes):
    """Return a dataset of (x, label) with labels of shape `(batch, classes)`, 1 for the class and 0 for the others."""
    return dataset.map(as_it_is(lambda x, y: (x, tf.one_hot(y, classes))))


def in_host_memory(*arrays) -> Any:
    """Return arrays as tensors in host memory: the memory of an accelerator is for the model."""
    with tf.device("CPU:0"):
        return tuple(tf.constant(array) for array in arrays)


def as_stored(x) -> Stored:
    """Return examples that are read by their numbers: an array is held in host memory, others stay what they are."""
    return x if is_stored(x) else Held(*in_host_memory(x))


def as_it_is(function):
    """Return a function for datasets that TensorFlow does not rewrite: nothing in it branches on values of tensors."""
    return tf.autograph.experimental.do_not_convert(function)


def _feed(dataset, function):
    """Apply a function to a dataset in parallel, in order, and ahead of the consumer."""
    # The number of parallel calls is that of threads anyway.
    options = untuned_options()
    options.deterministic = True
    # TensorFlow's rewriting of the graph gains nothing here, and would first hash every captured array.
    options.experimental_optimization.apply_default_optimizations = False
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    dataset = dataset.map(as_it_is(function), num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    return dataset.prefetch(tf.data.AUTOTUNE).with_options(options)
