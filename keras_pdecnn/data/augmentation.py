"""Random mirroring, shifting, turning and zooming of a batch."""

import dataclasses
import math

import tensorflow as tf

from keras_pdecnn.utils import arguments


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """Mirrors and shifts each example at random: zero padding, then a random crop back to size; turns and zooms images.

    Mirroring and shifting work on one, two or three space axes. The type is kept, and each example has its own draw.
    Ruthotto and Haber use `Augmentation(flip=True, pad=1/16)`.

    Args:
        flip: Whether to mirror along the last space axis with probability 1/2. Default False.
        pad: Zeros to add on each side of every space axis, as a fraction of its size, in [0, 1); rounded to
            the nearest pixel, at least one if positive. Default 0.
        rotate: Largest angle, in degrees, by which images are turned about their centre, in [0, 180]; bilinear
            interpolation, zeros beyond the border, integers rounded. Default 0.
        zoom: Images are enlarged or shrunk by a factor between exp(-zoom) and exp(zoom), in [0, 1). Default 0.

    Raises:
        ValueError: for anything else.

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
        """Raises ValueError if examples of this shape, `(*space, channels)`, cannot be augmented so."""
        if (self.rotate or self.zoom) and len(shape) != 3:
            raise ValueError(
                "`rotate` and `zoom` are for images, of shape (height, width, channels). "
                f"Received: {tuple(shape)}, rotate={self.rotate}, zoom={self.zoom}"
            )

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
        x = tf.gather(tf.reshape(x, (-1, channels)), index)
        return self._transform(x, key) if self.rotate or self.zoom else x

    def _transform(self, x, key):
        """Turn and zoom images about their centre."""
        self.check_shape(x.shape[1:])
        # Seeds that mirroring and shifting, at most four, have not used.
        keys = tf.random.experimental.stateless_split(key, 8, alg="philox")[-2:]
        batch, (height, width) = tf.shape(x)[0], x.shape[1:3]
        angle = _between((batch,), keys[0], self.rotate * math.pi / 180)
        factor = tf.exp(_between((batch,), keys[1], self.zoom))
        cos, sin, zero = factor * tf.cos(angle), factor * tf.sin(angle), tf.zeros_like(angle)
        # Column and row that a pixel of the result is read from, the centre fixed.
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
