"""Batches of arrays in memory: every training batch is a pure function of (seed, epoch, batch)."""

import dataclasses
import itertools
import math
from typing import Any

import tensorflow as tf

from keras_pdecnn.data.augmentation import Augmentation


@dataclasses.dataclass(frozen=True)
class Examples:
    """Some of the rows of two tensors, in batches.

    Args:
        x: Tensor of shape `(n, *space, channels)`, in host memory.
        y: int32 tensor of shape `(n,)`, in host memory.
        rows: int64 tensor of the rows of `x` and `y` that belong to this part, in order.
        batch_size: Number of rows per batch.
        drop_remainder: Whether to drop a smaller last batch. Default False.
    """

    x: tf.Tensor
    y: tf.Tensor
    rows: tf.Tensor
    batch_size: int
    drop_remainder: bool = False

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

    def gather(self, rows):
        """Return the examples and labels in these rows."""
        return tf.gather(self.x, rows), tf.gather(self.y, rows)

    def in_order(self):
        """Return a dataset of the batches in an order that never changes."""
        batches = tf.data.Dataset.range(self.steps)
        return _feed(batches, lambda batch: self.gather(self.slice(self.rows, batch)))


@dataclasses.dataclass(frozen=True)
class Training:
    """The plan of the training: each epoch has its own order and its own augmentation.

    Args:
        examples: Training part.
        seed: Seed that determines, with the number of the epoch, the order and the augmentation.
        augmentation: An `Augmentation`; default None.
        classes: Number of classes; needed by an augmentation that mixes labels, which are then probabilities.
    """

    examples: Examples
    seed: int
    augmentation: Augmentation | None = None
    classes: int | None = None

    def endless(self, first):
        """Return a dataset of the batches of the epochs `first`, `first + 1`, ..."""
        dataset = self._batches(tf.data.Dataset.counter(first))
        return dataset.apply(tf.data.experimental.assert_cardinality(tf.data.INFINITE_CARDINALITY))

    def one_by_one(self):
        """Return a dataset of the batches of one epoch: the k-th pass over it is epoch k."""
        numbers = itertools.count()
        epoch = tf.data.Dataset.from_generator(
            lambda: itertools.islice(numbers, 1), output_signature=tf.TensorSpec((), tf.int64)
        )
        return self._batches(epoch).apply(tf.data.experimental.assert_cardinality(self.examples.steps))

    def _batches(self, epochs):
        return _feed(epochs.flat_map(self._plan), self._batch)

    def _plan(self, epoch):
        """Return the rows of each batch of an epoch, and the key of the batch's augmentation."""
        key = tf.stack([tf.constant(self.seed, tf.int64), epoch])
        order_key, augmentation_key = tf.unstack(tf.random.experimental.stateless_split(key, 2, alg="philox"))
        rows = tf.random.experimental.stateless_shuffle(self.examples.rows, order_key, alg="philox")

        def plan(batch):
            batch_key = tf.random.experimental.stateless_fold_in(augmentation_key, batch, alg="philox")
            return self.examples.slice(rows, batch), batch_key

        return tf.data.Dataset.range(self.examples.steps).map(plan)

    def _batch(self, rows, key):
        x, y = self.examples.gather(rows)
        if self.augmentation is None:
            return x, y
        x = self.augmentation(x, key)
        return self.augmentation.mix(x, tf.one_hot(y, self.classes), key) if self.augmentation.mixes else (x, y)


def with_probabilities(dataset, classes):
    """Return a dataset of (x, label) with labels of shape `(batch, classes)`, 1 for the class and 0 for the others."""
    return dataset.map(lambda x, y: (x, tf.one_hot(y, classes)))


def in_host_memory(*arrays) -> Any:
    """Return arrays as tensors in host memory: the memory of an accelerator is for the model."""
    with tf.device("CPU:0"):
        return tuple(tf.constant(array) for array in arrays)


def _feed(dataset, function):
    """Apply a function to a dataset in parallel, in order, and ahead of the consumer."""
    options = tf.data.Options()
    options.deterministic = True
    # TensorFlow's rewriting of the graph gains nothing here, and would first hash every captured array.
    options.experimental_optimization.apply_default_optimizations = False
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    dataset = dataset.map(function, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    return dataset.prefetch(tf.data.AUTOTUNE).with_options(options)
