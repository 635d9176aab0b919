"""Random numbers of the augmentation: each kind of draw has a key of its own, which follows from that of the batch."""

from __future__ import annotations

import tensorflow as tf

# The order is part of what a seed means: new names go to the end.
_PURPOSES = (*("roll", "level", "noise", "gain", "window", "band", "rand_augment", "way", "mixup", "cutmix"),)


def key_of(key: tf.Tensor, purpose: str) -> tf.Tensor:
    """Return the key of the draws for one purpose, which are independent of those for others."""
    return tf.random.experimental.stateless_fold_in(key, tf.constant(_PURPOSES.index(purpose), tf.int64), alg="philox")


def split(key: tf.Tensor, count: int) -> list[tf.Tensor]:
    """Return `count` keys that follow from one."""
    return tf.unstack(tf.random.experimental.stateless_split(key, count, alg="philox"))


def integers(key: tf.Tensor, shape, count) -> tf.Tensor:
    """Return uniform integers 0, …, count - 1 of type int64."""
    return tf.random.stateless_uniform(shape, key, 0, tf.cast(count, tf.int64), tf.int64, alg="philox")


def fractions(key: tf.Tensor, shape) -> tf.Tensor:
    """Return uniform numbers in [0, 1) of type float32."""
    return tf.random.stateless_uniform(shape, key, alg="philox")


def normal(key: tf.Tensor, shape) -> tf.Tensor:
    """Return normal numbers with mean 0 and standard deviation 1 of type float32."""
    return tf.random.stateless_normal(shape, key, alg="philox")


def to_type(x: tf.Tensor, dtype: tf.DType) -> tf.Tensor:
    """Return numbers as another type; integers are rounded and limited to the range of their type."""
    return tf.saturate_cast(tf.round(x) if dtype.is_integer else x, dtype)
