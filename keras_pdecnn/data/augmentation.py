"""Augmentation: random changes of the training examples of a batch."""

import dataclasses
import math

from keras_pdecnn.utils import arguments

# What is for examples of one kind only: the number of space axes, and how the message names the kind.
_KINDS = {
    1: ("signals, of shape (length, channels)", ("time_shift",)),
    2: ("images, of shape (height, width, channels)", ("rotate", "zoom")),
}


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """Changes each training example at random: mirrors, shifts, rotates, zooms, makes louder, adds noise.

    A shift is zero padding followed by a random crop back to the original size. Mirroring, shifting, gain and noise
    work on one, two or three space axes, rotation and zoom on images, and time shifts on signals. The type of the
    examples is kept: integers are rounded and limited to the range of their type. Each example has its own draw.
    Ruthotto and Haber use `Augmentation(flip=True, pad=1/16)`.

    Args:
        flip: Whether to mirror along the last space axis with probability 1/2. Default False.
        pad: Number of zeros on each side of every space axis, as a fraction of the size of the axis, in [0, 1). It is
            rounded to whole pixels, at least one if the fraction is positive. Default 0.
        rotate: Largest angle of a rotation of images about their centre, in degrees, in [0, 180]. The interpolation is
            bilinear, with zeros beyond the border, and integers are rounded. Default 0.
        zoom: Range of the zoom of images, in [0, 1): the factor lies between exp(-zoom) and exp(zoom). Default 0.
        time_shift: Largest shift of a signal in time, as a fraction of its length, in [0, 1). What leaves at one end
            enters at the other; `pad` shifts with zeros instead. Default 0.
        gain: Range of the volume: the factor lies between exp(-gain) and exp(gain). Default 0.
        noise: Largest standard deviation of white noise that is added, as a fraction of the standard deviation of the
            example. Each example draws its own level between 0 and this. Default 0.

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
    time_shift: float = 0.0
    gain: float = 0.0
    noise: float = 0.0

    def __post_init__(self):
        arguments.check_flag("flip", self.flip)
        for name in ("pad", "zoom", "time_shift"):
            arguments.check_fraction(name, getattr(self, name))
        for name in ("gain", "noise"):
            arguments.check_non_negative(name, getattr(self, name))
        arguments.check_angle("rotate", self.rotate)

    def check_shape(self, shape):
        """Raise ValueError if examples of this shape, `(*space, channels)`, cannot be augmented so."""
        for axes, (kind, names) in _KINDS.items():
            used = [name for name in names if getattr(self, name)]
            if used and len(shape) != axes + 1:
                values = ", ".join(f"{name}={getattr(self, name)}" for name in names)
                raise ValueError(
                    f"{' and '.join(f'`{name}`' for name in names)} {'are' if len(names) > 1 else 'is'} for {kind}. "
                    f"Received: {tuple(shape)}, {values}"
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
        from keras_pdecnn.data import signals, transforms

        self.check_shape(x.shape[1:])
        x = transforms.mirror_and_shift(x, key, self.flip, self.margin(x.shape[1:-1]))
        if self.rotate or self.zoom:
            x = transforms.rotate_and_zoom(x, key, self.rotate, self.zoom)
        if self.time_shift:
            x = signals.roll(x, key, math.floor(self.time_shift * x.shape[1]))
        if self.gain or self.noise:
            x = signals.amplify_and_add_noise(x, key, self.gain, self.noise)
        return x
