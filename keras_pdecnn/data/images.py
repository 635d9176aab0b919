"""Reading images with Pillow."""

from __future__ import annotations

import io
import math
import os
from collections.abc import Sequence

import numpy as np

from keras_pdecnn.data.crops import Crop
from keras_pdecnn.utils import files

FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP")
SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp")
_WIDE = ("I", "I;16", "I;16B", "I;16L")  # 16 bits per pixel; Pillow's own conversion clips them
GRAY = ("1", "L", "LA", "La", *_WIDE)


def read_image(path: str | os.PathLike, shape: Sequence[int], crop: Crop | None = None, draws=None) -> np.ndarray:
    """Read an image file into the shape a model takes.

    Of an animation the first frame is read; transparency is ignored, and 16 bits are reduced to 8. As in TensorFlow and
    Keras, a rotation in the EXIF data is not applied. An image of another size is resized (bilinear, with antialiasing
    when it shrinks).

    Args:
        path: A PNG, JPEG, BMP, GIF or WebP file.
        shape: `(height, width, channels)`; one channel for gray, three for RGB.
        crop: The window that is resized, a `crops.Crop`; default None, the whole image, whose aspect is not kept.
        draws: Random numbers that choose the window, see `crops.Crop.box`; default None, the window in the centre.

    Returns:
        A uint8 array of that shape, with values 0..255.

    Raises:
        ValueError: If the file does not exist, cannot be read or has more pixels than Pillow's limit, or the shape is
            not one of these.

    Example:
        >>> import tempfile
        >>> from PIL import Image
        >>> with tempfile.NamedTemporaryFile(suffix=".png") as file:
        ...     Image.new("RGB", (40, 30)).save(file)
        ...     read_image(file.name, (8, 8, 3)).shape
        ...
        (8, 8, 3)
    """
    shape = tuple(shape)
    if len(shape) != 3 or shape[-1] not in (1, 3):
        raise ValueError(f"`shape` must be (height, width, 1) or (height, width, 3). Received: shape={shape}")
    return _decode(path, lambda image: to_array(image, shape, crop, draws))


def read_mask(path: str | os.PathLike, space: Sequence[int], colors: Sequence[str] | None = None) -> np.ndarray:
    """Read an image file that holds a class for each pixel.

    Args:
        path: A PNG file, or another one without loss; a mask of another size takes the nearest pixels.
        space: `(height, width)` of the result.
        colors: Colours of the classes in their order, as six hexadecimal digits each; default None, the pixels are the
            numbers of the classes: the indices of a palette, or grey values.

    Returns:
        An integer array of shape `space`.

    Raises:
        ValueError: If the file cannot be read, has colours where it should have numbers, or a colour that is no class.

    Example:
        >>> import tempfile
        >>> from PIL import Image
        >>> with tempfile.NamedTemporaryFile(suffix=".png") as file:
        ...     Image.new("RGB", (4, 3), "#ff0000").save(file)
        ...     int(read_mask(file.name, (3, 4), colors=("000000", "ff0000")).max())
        ...
        1
    """
    return _decode(path, lambda image: _to_classes(image, tuple(space), colors))


def _to_classes(image, space, colors) -> np.ndarray:
    from PIL import Image

    if colors is not None:
        image = image.convert("RGB")
    elif image.mode not in ("1", "L", "P", *_WIDE):
        raise ValueError("it has colours; give the colours of the classes, mask_colors")
    if image.size != (space[1], space[0]):
        image = image.resize((space[1], space[0]), Image.Resampling.NEAREST)
    pixels = np.asarray(image)
    if colors is None:
        return pixels.astype(np.int32 if pixels.dtype.itemsize > 1 else np.uint8)
    numbers = pixels.astype(np.int32) @ np.array([2**16, 2**8, 1])
    known = np.array([int(color, 16) for color in colors])
    order = np.argsort(known)
    place = np.minimum(np.searchsorted(known[order], numbers), len(known) - 1)
    classes = order[place]
    wrong = known[classes] != numbers
    if wrong.any():
        row, column = np.argwhere(wrong)[0].tolist()
        raise ValueError(f"the colour {numbers[row, column]:06x} at row {row}, column {column} is that of no class")
    return classes.astype(np.uint8 if len(known) <= 256 else np.int32)


def decode_image(content: bytes, shape: Sequence[int], crop: Crop, draws=None) -> np.ndarray:
    """Return the window of an encoded image in memory, see `read_image`; raise an exception if it is damaged."""
    from PIL import Image

    with Image.open(io.BytesIO(content), formats=FORMATS) as image:
        return to_array(image, tuple(shape), crop, draws)


def measure_image(path: str | os.PathLike) -> tuple[int, int, int]:
    """Return `(height, width, channels)` of an image file, from its header; raise ValueError if it has none."""
    return _decode(path, lambda image: (image.height, image.width, 1 if image.mode in GRAY else 3))


def check_image(path: str | os.PathLike):
    """Raise ValueError if an image file cannot be read to its end."""
    _decode(path, lambda image: image.load())


def check_pixels(width: int, height: int):
    """Raise ValueError for an image of more pixels than Pillow's limit; up to twice as many, Pillow only warns."""
    from PIL import Image

    limit = Image.MAX_IMAGE_PIXELS
    if limit is not None and width * height > limit:
        raise ValueError(f"{width} x {height} pixels, more than {limit}")


def _decode(path, function):
    from PIL import Image, UnidentifiedImageError

    files.check_exists("The image file", path)
    if not os.path.isfile(path):
        raise ValueError(f"Not a readable image (it is not a regular file). Received: {os.fspath(path)!r}")
    try:
        with Image.open(path, formats=FORMATS) as image:
            check_pixels(image.width, image.height)
            if image.format == "PNG":
                image.verify()  # the checksums, which Pillow does not compare when it reads the pixels
        with Image.open(path, formats=FORMATS) as image:
            return function(image)
    except UnidentifiedImageError as error:
        reason = f"none of {', '.join(FORMATS)}"
        raise ValueError(f"Not a readable image ({reason}). Received: {os.fspath(path)!r}") from error
    except Exception as error:  # Pillow's readers raise a dozen types on damaged files
        raise ValueError(f"Not a readable image ({error}). Received: {os.fspath(path)!r}") from error


def to_array(image, shape, crop: Crop | None = None, draws=None):
    """Return an image of Pillow as a uint8 array of a shape, see `read_image`."""
    from PIL import Image

    height, width, channels = shape
    box = None
    if crop is not None:
        natural, box = image.size, crop.box(image.size, (height, width), draws)
        # A JPEG file is decoded at 1/2, 1/4 or 1/8 of its size where the window stays larger than the result.
        scale = width / (box[2] - box[0]), height / (box[3] - box[1])
        image.draft(None, tuple(math.ceil(n * s) for n, s in zip(natural, scale, strict=True)))
        sizes = zip(image.size * 2, natural * 2, strict=True)
        box = tuple(min(edge * now / was, now) for edge, (now, was) in zip(box, sizes, strict=True))
    if image.mode in _WIDE:
        image = Image.fromarray(np.uint8(np.clip(np.asarray(image), 0, 65535) // 256))
    image = image.convert("L" if channels == 1 else "RGB")
    if image.size != (width, height) or box is not None:
        image = image.resize((width, height), Image.Resampling.BILINEAR, box)
    return np.asarray(image).reshape(shape)
