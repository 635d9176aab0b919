"""Decoding images in an exported graph, as `data.read_image` decodes files."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from keras_pdecnn.data.crops import Crop

if TYPE_CHECKING:
    import tensorflow as tf

_RATIOS = (1, 2, 4, 8)  # by which JPEG files can be decoded smaller


def decode(contents, shape, crop: Crop | None = None) -> tf.Tensor:
    """Decode image files to the raw pixels that a network takes.

    Transparency is ignored, and 16 bits are reduced to 8. Colours become gray by the weights of ITU-R 601, as in
    Pillow. Images of another size are resized (bilinear, with antialiasing when they shrink).

    Args:
        contents: Contents of the files, strings of shape (n,): PNG, JPEG, GIF (first frame) or BMP.
        shape: (height, width, channels), 1 or 3 channels; height and width may be None.
        crop: The window that is resized, that of an evaluation; default None, the whole image.

    Returns:
        Whole numbers 0 … 255 as float32, shape (n, height, width, channels).
    """
    import tensorflow as tf

    spec = tf.TensorSpec(shape, tf.float32)

    def decoded():
        return tf.map_fn(lambda content: _decode_one(content, shape, crop), contents, fn_output_signature=spec)

    if None not in shape:
        return decoded()
    # Without an image, their size is not known.
    images = tf.cond(tf.size(contents) > 0, decoded, lambda: tf.zeros((0, *(n or 1 for n in shape))))
    return tf.ensure_shape(images, (None, *shape))


def _decode_one(content, shape, crop: Crop | None):
    import tensorflow as tf

    height, width, channels = shape
    if crop is not None:
        return tf.ensure_shape(_decode_window(content, shape, crop), shape)
    pixels = tf.cond(tf.io.is_jpeg(content), lambda: _decode_jpeg(content), lambda: _decode_other(content))
    pixels = _in_channels(pixels, channels)
    if height is not None and width is not None:
        pixels = tf.round(tf.image.resize(pixels, (height, width), antialias=True))
    return tf.ensure_shape(pixels, shape)


def _decode_jpeg(content, ratio: int = 1):
    import tensorflow as tf

    return tf.io.decode_jpeg(content, channels=3, ratio=ratio, dct_method="INTEGER_ACCURATE")


def _decode_other(content):
    import tensorflow as tf

    return tf.io.decode_image(content, channels=3, expand_animations=False)


def _in_channels(pixels, channels: int):
    """Return pixels in three colours as float32, in so many channels."""
    import tensorflow as tf

    pixels.set_shape((None, None, 3))
    if channels == 1:
        weights = tf.constant([19595, 38470, 7471])
        pixels = (tf.reduce_sum(tf.cast(pixels, tf.int32) * weights, axis=-1, keepdims=True) + 2**15) // 2**16
    return tf.cast(pixels, tf.float32)


def _decode_window(content, shape, crop: Crop):
    """Return the window in the centre of an image, resized as Pillow resizes a part of an image."""
    import tensorflow as tf

    def decode_jpeg():
        natural = tf.cast(tf.io.extract_jpeg_shape(content)[:2], tf.float64)
        start, end, size = _window(natural, shape, crop)
        # As Pillow's draft: at 1/2, 1/4 or 1/8 of its size where the window stays larger than the result.
        scale = tf.reduce_min(natural // tf.math.ceil(natural * (size / (end - start))))
        place = tf.reduce_sum(tf.cast(scale >= tf.constant(_RATIOS[1:], tf.float64), tf.int32))
        return tf.switch_case(place, [functools.partial(_decode_jpeg, content, ratio) for ratio in _RATIOS]), natural

    def decode_other():
        pixels = _decode_other(content)
        return pixels, tf.cast(tf.shape(pixels)[:2], tf.float64)

    pixels, natural = tf.cond(tf.io.is_jpeg(content), decode_jpeg, decode_other)
    start, end, size = _window(natural, shape, crop)
    decoded = tf.cast(tf.shape(pixels)[:2], tf.float64)
    start, end = start * decoded / natural, tf.minimum(end * decoded / natural, decoded)
    scale = size / (end - start)
    (resized,) = tf.unstack(
        # `tf.image.crop_and_resize` has no antialiasing.
        tf.raw_ops.ScaleAndTranslate(
            images=_in_channels(pixels, shape[-1])[tf.newaxis],
            size=tf.cast(size, tf.int32),
            scale=tf.cast(scale, tf.float32),
            translation=tf.cast(-start * scale, tf.float32),
            kernel_type="triangle",
            antialias=True,
        ),
        num=1,
    )
    return tf.round(resized)


def _window(natural, shape, crop: Crop) -> tuple:
    """Return the corners of the window of an image of this size, and the size of the result, each (height, width)."""
    import tensorflow as tf

    rows, columns = tf.unstack(natural)
    height, width = (tf.cast(n or size, tf.float64) for n, size in zip(shape[:2], (rows, columns), strict=True))
    left, top, right, bottom = crop.central_box((columns, rows), (height, width), tf.minimum)
    return tf.stack([top, left]), tf.stack([bottom, right]), tf.stack([height, width])
