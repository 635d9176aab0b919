"""Augmentation: random mirroring, shifting, rotation and zoom of the examples of a batch."""

import dataclasses
import math

import tensorflow as tf

from keras_pdecnn.utils import arguments


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """Mirrors, shifts, rotates and zooms each example at random.

    A shift is zero padding followed by a random crop back to the original size. Mirroring and shifting work on one, two
    or three space axes, rotation and zoom on images. The type of the examples is kept, and each example has its own
    draw. Ruthotto and Haber use `Augmentation(flip=True, pad=1/16)`.

    Args:
        flip: Whether to mirror along the last space axis with probability 1/2. Default False.
        pad: Number of zeros on each side of every space axis, as a fraction of the size of the axis, in [0, 1). It is
            rounded to whole pixels, at least one if the fraction is positive. Default 0.
        rotate: Largest angle of a rotation of images about their centre, in degrees, in [0, 180]. The interpolation is
            bilinear, with zeros beyond the border, and integers are rounded. Default 0.
        zoom: Range of the zoom of images, in [0, 1): the factor lies between exp(-zoom) and exp(zoom). Default 0.

    Raises:
        ValueError: If an argument is outside its range.

    Example:
        >>> Augmentation(flip=True, pad=1 / 16).pad
        0.0625
    """

    flip: bool = False
    pad: float = 0.0
    rotate: float = 0.0
    zoom: float = 0.0

    def __post_init__(self):
        arguments.check_flag("flip", self.flip)
        arguments.check_fraction("pad", self.pad)
        arguments.check_fraction("zoom", self.zoom)
        arguments.check_angle("rotate", self.rotate)

    def check_shape(self, shape):
        """Raise ValueError if examples of this shape, `(*space, channels)`, cannot be augmented so."""
        if (self.rotate or self.zoom) and len(shape) != 3:
            raise ValueError(
                "`rotate` and `zoom` are for images, of shape (height, width, channels). "
                f"Received: {tuple(shape)}, rotate={self.rotate}, zoom={self.zoom}"
            )

    def margin(self, space):
        """Return the number of zeros on each side, one per space axis of sizes `space`."""
        return tuple(max(1, math.floor(self.pad * size + 0.5)) if self.pad else 0 for size in space)

    def __call__(self, x, key):
        """Return an augmented batch, a pure function of `x` and `key`.

        Args:
            x: Tensor of shape `(batch, *space, channels)`; all axes but the first have a static size.
            key: Integer tensor of shape `(2,)`: the seed of TensorFlow's stateless generators.

        Returns:
            A tensor of the same shape and type.
        """
        *space, channels = x.shape[1:]
        margin = self.margin(space)
        batch = tf.shape(x, tf.int64)[0]
        keys = tf.random.experimental.stateless_split(key, 1 + len(space), alg="philox")
        if self.pad:
            x = tf.pad(x, [(0, 0), *zip(margin, margin, strict=True), (0, 0)])
        # Cropping and mirroring are one lookup: the position in the padded batch of each pixel of the result.
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
        x = tf.gather(tf.reshape(x, (-1, channels)), index)
        return self._transform(x, key) if self.rotate or self.zoom else x

    def _transform(self, x, key):
        """Rotate and zoom images about their centre."""
        self.check_shape(x.shape[1:])
        # Mirroring and shifting use at most four seeds; these are others.
        keys = tf.random.experimental.stateless_split(key, 8, alg="philox")[-2:]
        batch, (height, width) = tf.shape(x)[0], x.shape[1:3]
        angle = _between((batch,), keys[0], self.rotate * math.pi / 180)
        factor = tf.exp(_between((batch,), keys[1], self.zoom))
        cos, sin, zero = factor * tf.cos(angle), factor * tf.sin(angle), tf.zeros_like(angle)
        # The column and row from which a pixel of the result is read; the centre stays fixed.
        column, row = (width - 1) / 2, (height - 1) / 2
        shift_column = column - cos * column + sin * row
        shift_row = row - sin * column - cos * row
        result = tf.raw_ops.ImageProjectiveTransformV3(
            images=tf.cast(x, tf.float32),
            transforms=tf.stack([cos, -sin, shift_column, sin, cos, shift_row, zero, zero], -1),
            output_shape=[height, width],
            fill_value=0.0,
            interpolation="BILINEAR",
            fill_mode="CONSTANT",
        )
        return tf.cast(tf.round(result) if x.dtype.is_integer else result, x.dtype)


def _uniform(shape, key, count):
    return tf.random.stateless_uniform(shape, key, 0, count, tf.int64, alg="philox")


def _between(shape, key, bound):
    return tf.random.stateless_uniform(shape, key, -bound, bound, alg="philox")
