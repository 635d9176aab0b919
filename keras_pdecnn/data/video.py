"""Reading video: animated images with Pillow, and the files of cameras with PyAV."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from keras_pdecnn.data import images
from keras_pdecnn.utils import archives, files, optional
from keras_pdecnn.utils.spacing import middles

if TYPE_CHECKING:
    from PIL import Image

SUFFIXES = (".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg")
# Formats that hold the video themselves: a playlist names other files and addresses, which must not be opened.
_OPTIONS = {"format_whitelist": "mov,mp4,matroska,webm,avi,mpeg,mpegts", "protocol_whitelist": "file"}


def read_video(path: str | os.PathLike, shape: Sequence[int]) -> np.ndarray:
    """Read a video file into the shape a model takes.

    Frame i of k is the one in the middle of part i of k equal parts of the clip, so that a clip of fewer than k frames
    repeats some. A frame of an animated image counts as long as it is shown, and those of other files count alike.
    Frames are resized as `data.read_image` resizes images; a rotation that the file asks for is not applied.

    Args:
        path: An animated GIF, WebP or PNG file; or an MP4, MOV, MKV, WebM, AVI or MPEG file, which needs the extra
            `keras-pdecnn[video]`.
        shape: `(frames, height, width, channels)`; one channel for gray, three for RGB.

    Returns:
        A uint8 array of that shape, with values 0..255.

    Raises:
        ValueError: If the file does not exist, cannot be read, has no frames, or a single one where the shape has
            several, or has frames of more pixels than Pillow's limit; if PyAV is not installed and needed; or if the
            shape is not one of these.

    Example:
        >>> import tempfile
        >>> from PIL import Image
        >>> frames = [Image.new("L", (40, 30), value) for value in range(6)]
        >>> with tempfile.NamedTemporaryFile(suffix=".gif") as file:
        ...     frames[0].save(file, save_all=True, append_images=frames[1:])
        ...     read_video(file.name, (3, 8, 8, 1))[:, 0, 0, 0].tolist()
        ...
        [1, 3, 5]
    """
    shape = tuple(shape)
    if len(shape) != 4 or shape[-1] not in (1, 3):
        raise ValueError(f"`shape` must be (frames, height, width, 1) or (…, 3). Received: shape={shape}")
    ends = np.cumsum([time for _, time in _frames(path)])
    _check_frames(len(ends), path)
    if len(ends) == 1 != shape[0]:
        raise ValueError(
            "A file with one frame is an image, where video of several frames is needed. "
            f"Received: {os.fspath(path)!r}, for video of shape {shape}"
        )
    wanted = np.searchsorted(ends, middles(ends[-1], shape[0]), side="right")
    x = np.zeros(shape, np.uint8)
    for index, (frame, _) in enumerate(_frames(path)):
        places = np.flatnonzero(wanted == index)
        if len(places):
            x[places] = images.to_array(frame, shape[1:])
    return x


def measure_video(path: str | os.PathLike) -> tuple[int, int, int, int]:
    """Return `(frames, height, width, channels)` of a video file, all of whose frames are decoded for that.

    Args:
        path: A file as for `read_video`.

    Raises:
        ValueError: If the file does not exist, cannot be read or has no frames.
    """
    count, header = 0, (0, 0, 0)
    for count, (frame, _) in enumerate(_frames(path), start=1):
        if count == 1:
            header = frame.height, frame.width, 1 if frame.mode in images.GRAY else 3
    _check_frames(count, path)
    return count, *header


def _check_frames(count: int, path):
    if not count:
        raise ValueError(f"Not a readable video (it has no frames). Received: {os.fspath(path)!r}")


def _frames(path) -> Iterator[tuple[Image.Image, int]]:
    """Yield the frames of a video file in their order, each with the time that it is shown, in any unit."""
    files.check_exists("The file", path)
    try:
        archives.check_file(path)
        yield from _animation(path) if _suffix(path) in images.SUFFIXES else _stream(path)
    except optional.MissingPackageError as error:
        raise ValueError(
            f"Reading this video needs the extra keras-pdecnn[video]. Received: {os.fspath(path)!r}, no module av"
        ) from error
    except Exception as error:  # damaged files raise a dozen types
        reason = getattr(error, "strerror", None) or error  # without the path, which some messages repeat
        raise ValueError(f"Not a readable video ({reason}). Received: {os.fspath(path)!r}") from error


def _suffix(path) -> str:
    return os.path.splitext(path)[1].lower()


def _animation(path) -> Iterator[tuple[Image.Image, int]]:
    from PIL import Image, ImageSequence

    with Image.open(path, formats=images.FORMATS) as image:
        images.check_pixels(image.width, image.height)
        for frame in ImageSequence.Iterator(image):
            frame.load()  # so that damaged frames are noticed here
            yield frame, max(1, round(frame.info.get("duration", 1)))


def _stream(path) -> Iterator[tuple[Image.Image, int]]:
    av = optional.load("av", "Reading video")
    with av.open(os.fspath(path), options=_OPTIONS) as container:
        for stream in container.streams.video[:1]:
            stream.thread_type = "AUTO"
            images.check_pixels(stream.width, stream.height)
            for frame in container.decode(stream):
                images.check_pixels(frame.width, frame.height)
                yield frame.to_image(), 1
