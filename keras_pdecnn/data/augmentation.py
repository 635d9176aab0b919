"""Augmentation: random changes of the training examples of a batch."""

import dataclasses
import math

from keras_pdecnn.utils import arguments

# What is for examples of one kind only: the number of space axes, and how the message names the kind.
_KINDS: dict[int, list[tuple[str, tuple[str, ...]]]] = {
    1: [("signals, of shape (length, channels)", ("time_shift",))],
    2: [
        ("images, of shape (height, width, channels)", ("rotate", "zoom")),
        ("images, of shape (height, width, channels)", ("rand_augment",)),
        ("spectrograms, of shape (time, frequency, channels)", ("frequency_mask",)),
    ],
}
# What needs to know the size of the examples.
_SIZED = ("pad", "time_shift", "cutout", "time_mask", "frequency_mask", "cutmix")


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """Changes each training example at random: mirrors, shifts, rotates, zooms, makes louder, adds noise.

    A shift is zero padding followed by a random crop back to the original size. Mirroring, shifting, gain and noise
    work on one, two or three space axes, rotation and zoom on images, and time shifts on signals. The type of the
    examples is kept: integers are rounded and limited to the range of their type. Each example has its own draw.
    Ruthotto and Haber use `Augmentation(flip=True, pad=1/16)`.

    Args:
        flip: Whether to mirror along the last space axis with probability 1/2, all frames of a video alike. Default
            False.
        pad: Number of zeros on each side of every space axis, the time of video among them, as a fraction of the size
            of the axis, in [0, 1). It is rounded to whole pixels, at least one if the fraction is positive. Default 0.
        rotate: Largest angle of a rotation of images about their centre, in degrees, in [0, 180]. The interpolation is
            bilinear, with zeros beyond the border, and integers are rounded. Default 0.
        zoom: Range of the zoom of images, in [0, 1): the factor lies between exp(-zoom) and exp(zoom). Default 0.
        time_shift: Largest shift of a signal in time, as a fraction of its length, in [0, 1). What leaves at one end
            enters at the other; `pad` shifts with zeros instead. Default 0.
        gain: Range of the volume: the factor lies between exp(-gain) and exp(gain). Default 0.
        noise: Largest standard deviation of white noise that is added, as a fraction of the standard deviation of the
            example. Each example draws its own level between 0 and this. Default 0.
        cutout: Side of a window, as a fraction of the size of each space axis, in [0, 1). The window lies at a random
            place inside the example, and takes the mean of the example, channel by channel. Default 0.
        time_mask: Largest width of a band across the first space axis, as a fraction of its size, in [0, 1), which
            takes the mean of the example. The first axis is the time of signals and spectrograms. Default 0.
        frequency_mask: Likewise for the second axis, the frequency of spectrograms of shape
            `(time, frequency, channels)`. Default 0.
        mixup: Parameter alpha of mixup: the example becomes w x + (1 - w) x' with its neighbour x' in the batch, and so
            do the labels, w drawn from Beta(alpha, alpha). Labels are then probabilities of shape `(batch, classes)`.
            Default 0.
        cutmix: Parameter alpha of CutMix: a window of the neighbour is pasted into the example, and labels are mixed by
            the share of the window, drawn from Beta(alpha, alpha). With `mixup`, each example draws one of the two.
            Default 0.
        rand_augment: Number of changes of geometry and colour of each image, drawn from rotation, shear, shift,
            brightness, contrast, saturation, sharpness, solarisation and posterisation. Default 0.
        rand_augment_magnitude: Largest strength of these changes, in [0, 1): 1 stands for a quarter turn, a shear by
            45 degrees, a shift by the size of the image, and the whole range of brightness. Default 0.3.

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
    cutout: float = 0.0
    time_mask: float = 0.0
    frequency_mask: float = 0.0
    mixup: float = 0.0
    cutmix: float = 0.0
    rand_augment: int = 0
    rand_augment_magnitude: float = 0.3

    def __post_init__(self):
        arguments.check_flag("flip", self.flip)
        for name in ("pad", "zoom", "time_shift", "cutout", "time_mask", "frequency_mask", "rand_augment_magnitude"):
            arguments.check_fraction(name, getattr(self, name))
        for name in ("gain", "noise", "mixup", "cutmix"):
            arguments.check_non_negative(name, getattr(self, name))
        arguments.check_angle("rotate", self.rotate)
        arguments.check_non_negative_integer("rand_augment", self.rand_augment)

    @property
    def mixes(self) -> bool:
        """Whether labels are mixed, so that they are probabilities."""
        return bool(self.mixup or self.cutmix)

    def check_shape(self, shape):
        """Raise ValueError if examples of this shape, `(*space, channels)`, cannot be augmented so."""
        refused = [entry for axes, entries in _KINDS.items() if len(shape) != axes + 1 for entry in entries]
        for kind, names in refused:
            if any(getattr(self, name) for name in names):
                values = ", ".join(f"{name}={getattr(self, name)}" for name in names)
                raise ValueError(
                    f"{' and '.join(f'`{name}`' for name in names)} {'are' if len(names) > 1 else 'is'} for {kind}. "
                    f"Received: {tuple(shape)}, {values}"
                )
        for name in _SIZED:
            if getattr(self, name) and None in shape:
                raise ValueError(
                    f"`{name}` needs examples of known size. Received: {tuple(shape)}, {name}={getattr(self, name)}"
                )

    def margin(self, space):
        """Return the number of zeros on each side, one per space axis of sizes `space`."""
        return tuple(max(1, math.floor(self.pad * size + 0.5)) if self.pad else 0 for size in space)

    def __call__(self, x, key):
        """Return an augmented batch, a pure function of `x` and `key`; `mix` does what changes labels, too.

        Args:
            x: Tensor of shape `(batch, *space, channels)`; all axes but the first have a static size.
            key: Integer tensor of shape `(2,)`: the seed of TensorFlow's stateless generators. Or a `draws.Key` of some
                of the examples of a batch, which are changed as in the whole one.

        Returns:
            A tensor of the same shape and type.
        """
        from keras_pdecnn.data import masks, signals
        from keras_pdecnn.data.rand_augment import rand_augment

        self.check_shape(x.shape[1:])
        x = self.move(x, key)
        if self.time_shift:
            x = signals.roll(x, key, math.floor(self.time_shift * x.shape[1]))
        if self.gain or self.noise:
            x = signals.amplify_and_add_noise(x, key, self.gain, self.noise)
        if self.rand_augment:
            x = rand_augment(x, key, self.rand_augment, self.rand_augment_magnitude)
        if self.cutout:
            x = masks.cover_window(x, key, self.cutout)
        for axis, fraction in enumerate((self.time_mask, self.frequency_mask)):
            if fraction:
                x = masks.cover_band(x, key, axis, fraction)
        return x

    def move(self, x, key, nearest=False):
        """Return a batch mirrored, shifted, rotated and zoomed: the changes that targets of every pixel follow.

        Args:
            x: Tensor as in `__call__`.
            key: Key as in `__call__`; with the same one, examples and targets are moved alike.
            nearest: Whether a pixel takes the value of the nearest one, as classes must, in place of a mean.

        Returns:
            A tensor of the same shape and type.
        """
        from keras_pdecnn.data import transforms

        x = transforms.mirror_and_shift(x, key, self.flip, self.margin(x.shape[1:-1]))
        if self.rotate or self.zoom:
            x = transforms.rotate_and_zoom(x, key, self.rotate, self.zoom, nearest)
        return x

    def mix(self, x, y, key):
        """Return a batch whose examples and labels are mixed by `mixup` and `cutmix`.

        Args:
            x: Tensor of shape `(batch, *space, channels)`; all axes but the first have a static size.
            y: float32 tensor of shape `(batch, classes)`, the probabilities of the classes.
            key: Integer tensor of shape `(2,)`, as in `__call__`.

        Returns:
            (x, y) of the same shapes and types.
        """
        from keras_pdecnn.data import mixing

        return mixing.mix(x, y, key, self.mixup, self.cutmix)
