"""Random mirroring and shifting of a batch."""

import dataclasses
import math
import numbers

import tensorflow as tf


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """Mirrors and shifts each example at random: zero padding, then a random crop back to size.

    Works on one, two or three space axes, keeps the type, and draws for each example anew. Ruthotto and Haber
    use `Augmentation(flip=True, pad=1/16)`.

    Args:
        flip: Whether to mirror along the last space axis with probability 1/2. Default False.
        pad: Zeros to add on each side of every space axis, as a fraction of its size, in [0, 1); rounded to
            the nearest pixel, at least one if positive. Default 0.

    Raises:
        ValueError: for anything else.
    """

    flip: bool = False
    pad: float = 0.0

    def __post_init__(self):
        if not isinstance(self.flip, bool):
            raise ValueError(f"`flip` must be True or False. Received: flip={self.flip!r}")
        number = isinstance(self.pad, numbers.Real) and not isinstance(self.pad, bool)
        if not (number and 0 <= self.pad < 1):
            raise ValueError(f"`pad` must be a number in [0, 1). Received: pad={self.pad!r}")

    def margin(self, space):
        """Returns the zeros added on each side, one number per space axis of sizes `space`."""
        return tuple(max(1, math.floor(self.pad * size + 0.5)) if self.pad else 0 for size in space)

    def __call__(self, x, key):
        """Returns the batch `x` of shape `(batch, *space, channels)` augmented; a pure function of `x` and `key`.

        Args:
            x: Tensor; all its axes but the first have a static size.
            key: Integer tensor of shape `(2,)`, the seed of TensorFlow's stateless generators.

        Returns:
            A tensor of the same shape and type.
        """
        *space, channels = x.shape[1:]
        margin = self.margin(space)
        batch = tf.shape(x, tf.int64)[0]
        keys = tf.random.experimental.stateless_split(key, 1 + len(space), alg="philox")
        if self.pad:
            x = tf.pad(x, [(0, 0), *zip(margin, margin, strict=True), (0, 0)])
        # Crop and mirror are one lookup: the position of each pixel of the result in the padded batch.
        index = tf.range(batch)
        for axis, (size, zeros) in enumerate(zip(space, margin, strict=True)):
            here = tf.range(size, dtype=tf.int64)[tf.newaxis]
            if self.flip and axis == len(space) - 1:
                mirrored = _uniform((batch, 1), keys[0], 2) == 1
                here = tf.where(mirrored, size - 1 - here, here)
            if zeros:
                here += _uniform((batch, 1), keys[1 + axis], 2 * zeros + 1)
            here = tf.reshape(here, (-1, *[1] * axis, size))
            index = index[..., tf.newaxis] * (size + 2 * zeros) + here
        return tf.gather(tf.reshape(x, (-1, channels)), index)


def _uniform(shape, key, count):
    return tf.random.stateless_uniform(shape, key, 0, count, tf.int64, alg="philox")
