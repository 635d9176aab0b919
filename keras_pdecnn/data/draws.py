"""Random numbers of the augmentation: each kind of draw has a key of its own, which follows from that of the batch."""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

# The order is part of what a seed means: new names go to the end.
_PURPOSES = (
    *("roll", "level", "noise", "gain", "window", "band", "rand_augment", "way", "mixup", "cutmix", "crop"),
    *("patch", "degradation"),
)


class Key(NamedTuple):
    """The seed of the draws for some of the examples of a batch, which are those that the whole batch would have.

    Args:
        seed: Integer tensor of shape `(2,)`.
        positions: Integer tensor, the places of the examples in the batch.
        size: Number of examples of the whole batch, an int32 tensor.
    """

    seed: tf.Tensor
    positions: tf.Tensor
    size: tf.Tensor


def key_of(key, purpose: str):
    """Return the key of the draws for one purpose, which are independent of those for others.

    Args:
        key: Integer tensor of shape `(2,)`, the key of a whole batch; or a `Key`.
        purpose: One of the purposes that this module lists.
    """
    number = tf.constant(_PURPOSES.index(purpose), tf.int64)
    return _with_seed(key, tf.random.experimental.stateless_fold_in(_seed(key), number, alg="philox"))


def split(key, count: int) -> list:
    """Return `count` keys that follow from one."""
    seeds = tf.unstack(tf.random.experimental.stateless_split(_seed(key), count, alg="philox"))
    return [_with_seed(key, seed) for seed in seeds]


def integers(key, shape, count) -> tf.Tensor:
    """Return uniform integers 0, …, count - 1 of type int64, the examples on axis 0."""
    count = tf.cast(count, tf.int64)
    return _draw(key, shape, lambda s, seed: tf.random.stateless_uniform(s, seed, 0, count, tf.int64, alg="philox"))


def fractions(key, shape) -> tf.Tensor:
    """Return uniform numbers in [0, 1) of type float32, the examples on axis 0."""
    return _draw(key, shape, lambda s, seed: tf.random.stateless_uniform(s, seed, alg="philox"))


def between(key, shape, bound: float) -> tf.Tensor:
    """Return uniform numbers in [-bound, bound) of type float32, the examples on axis 0."""
    return _draw(key, shape, lambda s, seed: tf.random.stateless_uniform(s, seed, -bound, bound, alg="philox"))


def normal(key, shape) -> tf.Tensor:
    """Return normal numbers with mean 0 and standard deviation 1 of type float32, the examples on axis 0."""
    return _draw(key, shape, lambda s, seed: tf.random.stateless_normal(s, seed, alg="philox"))


def gamma(key, shape, alpha: float) -> tf.Tensor:
    """Return draws from the gamma distribution with this shape parameter, of type float32, the examples on axis 0."""
    return _draw(key, shape, lambda s, seed: tf.random.stateless_gamma(s, seed, alpha))


def to_type(x: tf.Tensor, dtype: tf.DType) -> tf.Tensor:
    """Return numbers as another type; integers are rounded and limited to the range of their type."""
    return tf.saturate_cast(tf.round(x) if dtype.is_integer else x, dtype)


def _seed(key) -> tf.Tensor:
    return key.seed if isinstance(key, Key) else key


def _with_seed(key, seed: tf.Tensor):
    return key._replace(seed=seed) if isinstance(key, Key) else seed


def _draw(key, shape, function) -> tf.Tensor:
    """Return the draws of a shape; for some examples of a batch, those of the whole batch at their places."""
    if not isinstance(key, Key):
        return function(shape, key)
    whole = tf.concat([[key.size], tf.cast(tf.convert_to_tensor(shape)[1:], tf.int32)], 0)
    return tf.gather(function(whole, key.seed), key.positions)
