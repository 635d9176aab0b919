"""Targets for every pixel: patches, random changes of image and target alike, and images that are degraded."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import tensorflow as tf

from keras_pdecnn.data import draws, transforms
from keras_pdecnn.tasks.degradation import WHITE, Degradation

if TYPE_CHECKING:
    from keras_pdecnn.data.augmentation import Augmentation

_SEED = 20190918  # of the degradations of validation and test images, which no argument changes


@dataclasses.dataclass(frozen=True)
class Pixels:
    """What is done to examples and their targets together.

    Args:
        classes: Whether the targets are classes of pixels, shape `(batch, *space)`; otherwise they are images.
        degradation: What makes the examples from the targets; None if the source has both.
        max_value: Value of white.
        patch: Sizes of the patches that are cut out in training; None for whole examples.
    """

    classes: bool
    degradation: Degradation | None = None
    max_value: float = 1.0
    patch: tuple[int, ...] | None = None

    def in_training(self, x, y, augmentation: Augmentation | None, key):
        """Return (x, y) of a training batch: patches that are changed at random in the same way, then degraded."""
        y = y[..., tf.newaxis] if self.classes else y
        if self.patch is not None:
            x, y = (transforms.cut(part, key, self.patch) for part in (x, y))
        if augmentation is not None:
            x, y = augmentation(x, key), augmentation.move(y, key, nearest=self.classes)
        if self.degradation is not None:
            x = self._degrade(y, key)
        return x, y[..., 0] if self.classes else y

    def in_evaluation(self, x, y, rows):
        """Return (x, y) of a batch of validation or test examples, whose degradation depends on their rows alone."""
        if self.degradation is None:
            return x, y

        def degrade(pair):
            example, row = pair
            return self._degrade(example[tf.newaxis], tf.stack([tf.constant(_SEED, tf.int64), row]))[0]

        return tf.map_fn(degrade, (y, rows), fn_output_signature=tf.TensorSpec(y.shape[1:], tf.float32)), y

    def _degrade(self, y, key):
        assert self.degradation is not None  # for mypy
        unit = WHITE / self.max_value
        return self.degradation(tf.cast(y, tf.float32) * unit, _Random(key)) / unit


class _Random:
    """The random numbers of a degradation, one draw of each kind."""

    def __init__(self, key):
        self._uniform, self._normal = draws.split(draws.key_of(key, "degradation"), 2)

    def normal(self, shape):
        return draws.normal(self._normal, shape)

    def fractions(self, shape):
        return draws.fractions(self._uniform, shape)
