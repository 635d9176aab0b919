"""The kinds of files that hold one example each: images, sounds and videos."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import numpy as np

from keras_pdecnn.data import audio, images, video
from keras_pdecnn.data.crops import Crop


@dataclasses.dataclass(frozen=True)
class Plan:
    """How the files of a data set are read into one array.

    Args:
        shape: Shape of an example.
        dtype: Type of the array.
        read: Function from the path of a file, and the random numbers that choose a window or None, to its example.
        sampling_rate: Samples per second of sounds; default None.
    """

    shape: tuple[int, ...]
    dtype: type
    read: Callable[..., np.ndarray]
    sampling_rate: int | None = None

    @property
    def example_bytes(self) -> int:
        """Number of bytes of an example."""
        return math.prod(self.shape) * np.dtype(self.dtype).itemsize


class Images:
    """Files of images: gray if all of them are, otherwise RGB, uint8."""

    noun = "images"
    suffixes: tuple[str, ...] = images.SUFFIXES
    counts: tuple[int, ...] = (1, 2)  # of numbers in `size`
    form = "a side or (height, width)"

    def measure(self, path) -> tuple[int, ...]:
        """Return the header of a file, (*space, channels)."""
        return images.measure_image(path)

    def header(self, *entries) -> tuple[int, ...]:
        """Return the header with these entries."""
        return entries

    def entries(self, header) -> tuple:
        """Return the entries of a header, which JSON can hold."""
        return header

    def plan(
        self, headers: dict, size: tuple[int, ...] | None, sampling_rate: int | None, where: str, crop: Crop | None
    ) -> Plan:
        """Return the `Plan` for files with these headers, a dict of path and (*space, channels)."""
        if sampling_rate is not None:
            raise ValueError(
                f"`sampling_rate` is for folders of .wav files. Received: source={where!r}, with {self.noun}, "
                f"sampling_rate={sampling_rate}"
            )
        if size is not None and len(size) not in self.counts:
            raise ValueError(f"`size` must be {self.form} for {self.noun}. Received: source={where!r}, size={size}")
        first, common = next(iter(headers.items()))
        channels = max(header[-1] for header in headers.values())
        for file, header in headers.items():
            if size is None and header[:-1] != common[:-1]:
                raise ValueError(
                    f"The {self.noun} of {where!r} differ in size; give `size` to resize them. Received: "
                    f"{common[:-1]} in {first!r} and {header[:-1]} in {file!r}, size=None"
                )
        space = common[:-1] if size is None else size if len(size) > 1 else 2 * size
        shape = (*space, channels)
        return Plan(shape, np.uint8, lambda path, draws=None: self.read(path, shape, crop, draws))

    def read(self, path, shape: tuple[int, ...], crop: Crop | None, draws) -> np.ndarray:
        """Return the example of a file."""
        return images.read_image(path, shape, crop, draws)


class Videos(Images):
    """Files of video: gray if all of them are, otherwise RGB, uint8; all their frames are decoded to count them."""

    noun = "videos"
    counts = (3,)
    form = "(frames, height, width)"
    suffixes = (*video.SUFFIXES, ".gif", ".webp")

    def measure(self, path) -> tuple[int, ...]:
        """Return the header of a file, (*space, channels)."""
        return video.measure_video(path)

    def plan(
        self, headers: dict, size: tuple[int, ...] | None, sampling_rate: int | None, where: str, crop: Crop | None
    ) -> Plan:
        """Return the `Plan` for files with these headers, a dict of path and (frames, height, width, channels)."""
        if crop is not None:
            raise ValueError(f"`crop` is for images. Received: source={where!r}, with videos, crop={crop.kind!r}")
        return super().plan(headers, size, sampling_rate, where, crop)

    def read(self, path, shape: tuple[int, ...], crop: Crop | None, draws) -> np.ndarray:
        """Return the example of a file."""
        return video.read_video(path, shape)


class Sounds:
    """Files of sound: the channels of the files if these agree, otherwise their average.

    Samples are int16 if this loses nothing, otherwise float32 in the range of 16 bits.
    """

    noun = "sounds"
    suffixes = audio.SUFFIXES
    measure = staticmethod(audio.measure_sound)

    def header(self, *entries) -> audio.Header:
        """Return the header with these entries."""
        return audio.Header(*entries)

    def entries(self, header) -> tuple:
        """Return the entries of a header, which JSON can hold."""
        return dataclasses.astuple(header)

    def plan(
        self, headers: dict, size: tuple[int, ...] | None, sampling_rate: int | None, where: str, crop: Crop | None
    ) -> Plan:
        """Return the `Plan` for files with these headers, a dict of path and `audio.Header`."""
        if crop is not None:
            raise ValueError(f"`crop` is for images. Received: source={where!r}, with sounds, crop={crop.kind!r}")
        if size is not None and len(size) != 1:
            raise ValueError(f"`size` must be a length for sounds. Received: source={where!r}, size={size}")
        first, common = next(iter(headers.items()))
        rate = common.sampling_rate if sampling_rate is None else sampling_rate
        for file, header in headers.items():
            if sampling_rate is None and header.sampling_rate != rate:
                raise ValueError(
                    f"The sounds of {where!r} differ in their sampling rate; give `sampling_rate` to resample them. "
                    f"Received: {rate} in {first!r} and {header.sampling_rate} in {file!r}, sampling_rate=None"
                )
        length = common.resampled_length(rate) if size is None else size[0]
        for file, header in headers.items():
            if size is None and header.resampled_length(rate) != length:
                raise ValueError(
                    f"The sounds of {where!r} differ in length; give `size` to cut or pad them. Received: "
                    f"{length} samples in {first!r} and {header.resampled_length(rate)} in {file!r}, size=None"
                )
        counts = {header.channels for header in headers.values()}
        shape = (length, counts.pop() if len(counts) == 1 else 1)
        is_exact = all((h.channels, h.sampling_rate) == (shape[1], rate) and h.width <= 2 for h in headers.values())
        dtype = np.int16 if is_exact else np.float32
        return Plan(shape, dtype, lambda path, draws=None: audio.read_sound(path, shape, rate), rate)


KINDS: tuple[Images | Sounds, ...] = (Images(), Sounds(), Videos())
"""The kinds of files; a folder that has images is one of images, unless its examples have frames."""


def kind_of(names, size: tuple[int, ...] | None = None) -> Images | Sounds | None:
    """Return the kind of the files with these names, by their suffixes; None if there is none of any kind.

    Args:
        names: Names of the files.
        size: Size of the examples; with three numbers, (frames, height, width), animated images are videos.
    """
    names = [name.lower() for name in names]
    kinds = KINDS if size is None or len(size) < 3 else (Videos(),)
    return next((kind for kind in kinds if any(name.endswith(kind.suffixes) for name in names)), None)
