"""What makes an image worse, so that a network can learn to restore it: each kind is one small object."""

from __future__ import annotations

import abc
import dataclasses
import math
from typing import Any, ClassVar

import numpy as np

from keras_pdecnn.utils import arguments

WHITE = 255.0
"""The value of white for which strengths are given; for data with another range they are scaled."""


class Degradation(abc.ABC):
    """A random or fixed change of images, as a function of TensorFlow.

    Strengths of pixel values are for pixels 0 … 255; images are given with white at this value.

    Example:
        >>> half = to_degradation("degradation", "half")
        >>> half(keras.ops.ones((1, 2, 4, 1)), None)[0, 0, :, 0].numpy().tolist()
        [1.0, 1.0, 0.0, 0.0]
    """

    name: ClassVar[str]
    form: ClassVar[str]
    """What users type."""

    @classmethod
    @abc.abstractmethod
    def read(cls, strength: str) -> Degradation:
        """Return the degradation of this strength, the text behind the colon; raise ValueError if it is none."""

    @abc.abstractmethod
    def __call__(self, x, random) -> Any:
        """Return degraded images.

        Args:
            x: float32 tensor of shape (n, *space, channels), with white at 255.
            random: Object with the methods `normal(shape)`, of mean 0 and standard deviation 1, and
                `fractions(shape)`, uniform in [0, 1); both take the shape with the examples on axis 0.
        """


@dataclasses.dataclass(frozen=True)
class Noise(Degradation):
    """Gaussian noise, whose standard deviation is one number or drawn from a range for each image."""

    low: float
    high: float
    name = "noise"
    form = "noise:25 or noise:5-50"

    @classmethod
    def read(cls, strength):
        low, _, high = strength.partition("-")
        low, high = float(low), float(high or low)
        if not 0 <= low <= high < math.inf or not high:
            raise ValueError
        return cls(low, high)

    def __call__(self, x, random):
        import tensorflow as tf

        batch, rank = tf.shape(x)[0], len(x.shape) - 1
        level = self.low + (self.high - self.low) * random.fractions((batch, *[1] * rank))
        return x + level * random.normal((batch, *x.shape[1:]))


@dataclasses.dataclass(frozen=True)
class Blur(Degradation):
    """A Gaussian blur; pixels beyond the border are those at the border."""

    deviation: float
    name = "blur"
    form = "blur:1.5, the standard deviation in pixels"

    @classmethod
    def read(cls, strength):
        deviation = float(strength)
        if not 0 < deviation <= 100:
            raise ValueError
        return cls(deviation)

    def __call__(self, x, random):
        import tensorflow as tf

        radius = math.ceil(3 * self.deviation)
        weights = np.exp(-0.5 * (np.arange(-radius, radius + 1) / self.deviation) ** 2)
        weights /= weights.sum()
        for axis in range(1, len(x.shape) - 1):
            size = x.shape[axis]
            places = [np.clip(np.arange(size) + shift, 0, size - 1) for shift in range(-radius, radius + 1)]
            x = tf.add_n([float(w) * tf.gather(x, place, axis=axis) for w, place in zip(weights, places, strict=True)])
        return x


@dataclasses.dataclass(frozen=True)
class Downsampling(Degradation):
    """Means over blocks of pixels, repeated to the size of the image."""

    factor: int
    name = "downsample"
    form = "downsample:2, the side of the blocks"

    @classmethod
    def read(cls, strength):
        factor = int(strength)
        if not 2 <= factor <= 64:
            raise ValueError
        return cls(factor)

    def __call__(self, x, random):
        import tensorflow as tf

        for axis in range(1, len(x.shape) - 1):
            size = x.shape[axis]
            count = -(-size // self.factor)
            place = np.minimum(np.arange(count * self.factor), size - 1)  # the last pixel is repeated
            means = tf.add_n([tf.gather(x, place[shift :: self.factor], axis=axis) for shift in range(self.factor)])
            x = tf.gather(means / self.factor, np.arange(size) // self.factor, axis=axis)
        return x


@dataclasses.dataclass(frozen=True)
class MissingHalf(Degradation):
    """The second half of the last space axis is black: the right half of an image."""

    name = "half"
    form = "half"

    @classmethod
    def read(cls, strength):
        if strength:
            raise ValueError
        return cls()

    def __call__(self, x, random):
        size = x.shape[-2]
        kept = (np.arange(size) < size // 2).astype(np.float32)
        return x * kept[:, np.newaxis]


@dataclasses.dataclass(frozen=True)
class MissingBorder(Degradation):
    """A border of every axis is black, on each side a fraction of its size, at least one pixel."""

    fraction: float
    name = "border"
    form = "border:0.2, the fraction of the size on each side"

    @classmethod
    def read(cls, strength):
        fraction = float(strength)
        if not 0 < fraction < 0.5:
            raise ValueError
        return cls(fraction)

    def __call__(self, x, random):
        rank = len(x.shape) - 2
        for axis in range(rank):
            size = x.shape[axis + 1]
            width = max(1, math.floor(self.fraction * size + 0.5))
            place = np.arange(size)
            kept = ((place >= width) & (place < size - width)).astype(np.float32)
            x *= kept.reshape(-1, *[1] * (rank - axis))
        return x


@dataclasses.dataclass(frozen=True)
class SaltAndPepper(Degradation):
    """Pixels at random places become black or white, with equal probabilities."""

    share: float
    name = "salt_and_pepper"
    form = "salt_and_pepper:0.1, the fraction of the pixels"

    @classmethod
    def read(cls, strength):
        share = float(strength)
        if not 0 < share <= 1:
            raise ValueError
        return cls(share)

    def __call__(self, x, random):
        import tensorflow as tf

        chance = random.fractions((tf.shape(x)[0], *x.shape[1:-1], 1))
        x = tf.where(chance < self.share / 2, 0.0, x)
        return tf.where(chance >= 1 - self.share / 2, WHITE, x)


DEGRADATIONS: dict[str, type[Degradation]] = {
    kind.name: kind for kind in (Noise, Blur, Downsampling, MissingHalf, MissingBorder, SaltAndPepper)
}
"""The kinds of degradations by name."""


def to_degradation(name: str, value) -> Degradation:
    """Return the degradation that a text names, with its strength behind a colon.

    Args:
        name: Name of the argument, for the error.
        value: Text such as "noise:25" or "half"; hyphens in the name stand for underscores.

    Raises:
        ValueError: If there is no such degradation, or its strength is outside its range.

    Example:
        >>> to_degradation("degradation", "noise:5-50")
        Noise(low=5.0, high=50.0)
    """
    if isinstance(value, str):
        kind, _, strength = value.partition(":")
        named = DEGRADATIONS.get(kind.strip().replace("-", "_"))
        if named is not None:
            try:
                return named.read(strength.strip())
            except ValueError:
                raise ValueError(
                    f"The strength of this degradation is wrong; write {named.form}. "
                    f"Received: {name}={arguments.describe(value)}"
                ) from None
    forms = "; ".join(kind.form for kind in DEGRADATIONS.values())
    raise ValueError(f"{name} must be one of: {forms}. Received: {name}={arguments.describe(value)}")
