"""Reading the examples of a file."""

from __future__ import annotations

import math
import os
from collections.abc import Callable

import numpy as np

from keras_pdecnn import data
from keras_pdecnn.data.audio import read_sound
from keras_pdecnn.data.checks import check_examples
from keras_pdecnn.data.crops import Crop
from keras_pdecnn.data.images import measure_image
from keras_pdecnn.data.video import SUFFIXES, measure_video
from keras_pdecnn.inference.limits import check_example_size
from keras_pdecnn.utils import archives, files

_KEYS = ("x", "x_test")
_LARGEST_FILE = 2**30  # bytes of an array


def read_examples(path, input_shape, sampling_rate: int | None = None, crop: str | None = None) -> np.ndarray:
    """Read the examples of a file.

    Args:
        path: An image file; a .wav file for a model of signals; a video file for a model of video, see
            `data.read_video`; or an .npz file with an array `x` or `x_test` of one example or several, in which the
            axis of a single channel may be missing.
        input_shape: (*space, channels) of an example; a None in it leaves the size to the file.
        sampling_rate: Samples per second of the sound that the model was trained on, for .wav files; default None,
            samples are never resampled.
        crop: Part of images that the model was trained on, "center" or "random", see `data.load`; default None, the
            whole image.

    Returns:
        Raw examples, shape (n, *space, channels).

    Raises:
        ValueError: If the file does not exist or cannot be read, or its examples have another shape or values that are
            not finite.
    """
    shape = tuple(input_shape)
    kind = os.path.splitext(path)[1].lower()
    files.check_exists("The file", path)
    if os.path.isdir(path):
        raise ValueError(
            f"The folder has no image, video, .wav or .npz file, or cannot be read. Received: {os.fspath(path)!r}"
        )
    if kind == ".npz":
        return _read_npz(path, shape)
    if kind == ".wav":
        x = _read_sound(path, shape, sampling_rate)
    else:
        x = _read_video(path, shape) if len(shape) == 4 else _read_image(path, shape, crop, kind)
    check_example_size(x.shape, path)
    return x[None]


def example_names(path, count: int) -> list[str]:
    """Return names of the examples of a file: the path, followed by the number of the example if there are several."""
    file = os.fspath(path)
    return [file] if count == 1 else [f"{file}[{index}]" for index in range(count)]


def _read_sound(path, shape, sampling_rate) -> np.ndarray:
    if len(shape) != 2:
        raise ValueError(
            f"Sound is for models of signals, of shape (length, channels). Received: {os.fspath(path)!r}, for a "
            f"model of shape {shape}"
        )
    return read_sound(path, shape, sampling_rate)


def _read_video(path, shape) -> np.ndarray:
    if shape[-1] not in (1, 3):
        raise ValueError(
            "Video files are for models of video with one or three channels. "
            f"Received: {os.fspath(path)!r}, for a model of shape {shape}"
        )
    if None in shape:
        shape = _completed(shape, measure_video(path), path)
    return data.read_video(path, shape)


def _read_image(path, shape, crop: str | None, kind: str) -> np.ndarray:
    if kind in SUFFIXES:
        raise ValueError(
            "Video is for models of video, of shape (frames, height, width, channels). "
            f"Received: {os.fspath(path)!r}, for a model of shape {shape}"
        )
    if len(shape) != 3 or shape[-1] not in (1, 3):
        raise ValueError(
            "Images are for models of images, of shape (height, width, channels) with one or three channels. "
            f"Received: {os.fspath(path)!r}, for a model of shape {shape}"
        )
    if None in shape:
        shape = _completed(shape, measure_image(path), path)
    return data.read_image(path, shape, None if crop is None else Crop(crop))


def _completed(shape, measured: tuple[int, ...], path) -> tuple[int, ...]:
    """Return the shape of an example with the sizes of its file where the model takes any."""
    shape = tuple(n or size for n, size in zip(shape, measured, strict=True))
    check_example_size(shape, path)
    return shape


def _read_npz(path, shape) -> np.ndarray:
    path = os.fspath(path)
    headers = _read_archive(path, archives.read_headers)
    key = next((key for key in _KEYS if key in headers), None)
    if key is None:
        raise ValueError(
            f"An .npz file must hold {' or '.join(_KEYS)}. Received: {path!r} with {', '.join(headers) or 'no arrays'}"
        )
    stored, dtype = headers[key]
    whole = _batch_shape(stored, shape)
    if len(whole) != len(shape) + 1 or any(n not in (None, size) for n, size in zip(shape, whole[1:], strict=True)):
        raise ValueError(f"Examples must have the shape {shape}. Received: {path!r} with {key} of shape {stored}")
    check_example_size(whole[1:], path)
    if (needed := math.prod(stored) * dtype.itemsize) > _LARGEST_FILE:
        raise ValueError(f"{key} has {needed:,} bytes, more than {_LARGEST_FILE:,}. Received: {path!r}")
    x = _read_archive(path, lambda archive: archives.read_array(archive, key))
    return check_examples(x.reshape(whole), f"{path}: {key}")


def _read_archive(path: str, read: Callable):
    try:
        with archives.open_archive(path) as archive:
            return read(archive)
    except Exception as error:  # a damaged archive raises a dozen types
        raise ValueError(f"Not a readable .npz file ({error}). Received: {path!r}") from error


def _batch_shape(stored: tuple[int, ...], shape: tuple[int | None, ...]) -> tuple[int, ...]:
    """Return the shape of a stored array with the axes of the examples and of the channels, which it may lack."""

    def fits(given, wanted):
        return len(given) == len(wanted) and all(n in (None, m) for n, m in zip(wanted, given, strict=True))

    if shape[-1] == 1 and not fits(stored[-len(shape) :], shape) and fits(stored[1 - len(shape) :], shape[:-1]):
        stored = (*stored, 1)
    return (1, *stored) if len(stored) == len(shape) else stored
