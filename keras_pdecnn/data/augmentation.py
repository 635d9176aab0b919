"""Augmentation: random mirroring, shifting, rotation and zoom of the examples of a batch."""

import dataclasses
import math

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
        from keras_pdecnn.data.transforms import mirror_and_shift, rotate_and_zoom

        x = mirror_and_shift(x, key, self.flip, self.margin(x.shape[1:-1]))
        if self.rotate or self.zoom:
            self.check_shape(x.shape[1:])
            x = rotate_and_zoom(x, key, self.rotate, self.zoom)
        return x
