"""Reading sound with Python's own wave module."""

from __future__ import annotations

import dataclasses
import math
import os
import wave

import numpy as np

from keras_pdecnn.utils import archives, files

SUFFIXES = (".wav",)
_MAX_RATE = 384_000  # samples per second; the filter that resamples grows with it
_MAX_BYTES = 2**28
_MAX_RESAMPLED = 2**26  # samples


@dataclasses.dataclass(frozen=True)
class Header:
    """What the header of a .wav file says.

    Args:
        length: Number of samples of each channel.
        channels: Number of channels.
        sampling_rate: Samples per second.
        width: Number of bytes of a sample.
    """

    length: int
    channels: int
    sampling_rate: int
    width: int

    def resampled_length(self, sampling_rate: int) -> int:
        """Return the number of samples after resampling."""
        return math.ceil(self.length * sampling_rate / self.sampling_rate)


def measure_sound(path: str | os.PathLike) -> Header:
    """Return the `Header` of a .wav file; raise ValueError if it has none, or declares more than the file holds."""
    return _decode(path, _read_header)


def read_sound(path: str | os.PathLike, shape: tuple[int | None, int], sampling_rate: int | None = None) -> np.ndarray:
    """Read a .wav file into the shape a model takes.

    Samples of 8, 16, 24 or 32 bits are scaled to the range of 16 bits, -32768..32767. For a model with one channel all
    channels are averaged; otherwise their number must agree. As in `load(..., size=length)`, longer sound is cut at its
    end, and shorter sound is padded with zeros.

    Args:
        path: An uncompressed .wav file (PCM).
        shape: `(length, channels)`; the length None stands for all samples.
        sampling_rate: Samples per second of the sound that the model was trained on; a file with another rate is
            resampled. Default None: samples are never resampled.

    Returns:
        A float32 array of that shape.

    Raises:
        ValueError: If the file does not exist, is damaged, has more than 256 MiB or more than 67 million samples after
            resampling, has another number of channels, or has no samples.
    """
    length, channels = shape

    def read(path, file):
        x, rate = _read(path, file)
        return x if sampling_rate in (None, rate) else _resample(x, rate, sampling_rate)

    x = _decode(path, read)
    if channels == 1:
        x = x.mean(axis=1, keepdims=True)
    if x.shape[1] != channels:
        raise ValueError(
            f"The model takes sound of {channels} channels. Received: {os.fspath(path)!r} with {x.shape[1]} channels"
        )
    if length is not None:
        x = np.pad(x[:length], ((0, max(0, length - len(x))), (0, 0)))
    return x.astype(np.float32)


def _decode(path, function):
    """Return function(path, file) of an open .wav file."""
    files.check_exists("The .wav file", path)
    try:
        archives.check_file(path)
        with wave.open(os.fspath(path), "rb") as file:
            return function(path, file)
    except Exception as error:  # a damaged file raises several types
        reason = str(error) or type(error).__name__
        raise ValueError(f"Not a readable .wav file ({reason}). Received: {os.fspath(path)!r}") from error


def _read_header(path, file) -> Header:
    channels, width, rate, length = file.getparams()[:4]
    size = length * channels * width
    if not length:
        raise ValueError("it has no samples")
    if size > min(os.path.getsize(path), _MAX_BYTES):
        raise ValueError(f"its header declares {size:,} bytes of samples, the file has {os.path.getsize(path):,}")
    if not 0 < rate <= _MAX_RATE:
        raise ValueError(f"its header declares {rate:,} samples per second")
    return Header(length, channels, rate, width)


def _read(path, file):
    """Return the samples of a file, shape (length, channels), in the range of 16 bits, and its sampling rate."""
    header = _read_header(path, file)
    length, channels, rate, width = header.length, header.channels, header.sampling_rate, header.width
    raw = file.readframes(length)
    size = length * channels * width
    if len(raw) != size:
        raise ValueError(f"its header declares {size:,} bytes of samples, and {len(raw):,} follow")
    bytes_ = np.frombuffer(raw, np.uint8).reshape(length, channels, width)
    if width == 1:  # samples of one byte have no sign, all others have one
        return (bytes_[..., 0].astype(np.float64) - 128) * 256, rate
    # Little-endian numbers of `width` bytes are the upper bytes of four.
    wide = np.zeros((length, channels, 4), np.uint8)
    wide[..., 4 - width :] = bytes_
    return wide.view("<i4")[..., 0] / 2.0**16, rate


def _resample(x, rate, wanted):
    from scipy.signal import resample_poly

    if x.size * wanted > _MAX_RESAMPLED * rate:
        raise ValueError(
            f"{x.size:,} samples at {rate:,} per second would be more than {_MAX_RESAMPLED:,} at {wanted:,} per second"
        )
    common = math.gcd(rate, wanted)
    return resample_poly(x, wanted // common, rate // common, axis=0)
