"""Decoding images in an exported graph, as `data.read_image` decodes files."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import tensorflow as tf


def decode(contents, shape) -> tf.Tensor:
    """Decode image files to the raw pixels that a network takes.

    Transparency is ignored, and 16 bits are reduced to 8. Colours become gray by the weights of ITU-R 601, as in
    Pillow. Images of another size are resized (bilinear, with antialiasing when they shrink).

    Args:
        contents: Contents of the files, strings of shape (n,): PNG, JPEG, GIF (first frame) or BMP.
        shape: (height, width, channels), 1 or 3 channels; height and width may be None.

    Returns:
        Whole numbers 0 … 255 as float32, shape (n, height, width, channels).
    """
    import tensorflow as tf

    spec = tf.TensorSpec(shape, tf.float32)

    def decoded():
        return tf.map_fn(lambda content: _decode_one(content, shape), contents, fn_output_signature=spec)

    if None not in shape:
        return decoded()
    # Without an image, their size is not known.
    images = tf.cond(tf.size(contents) > 0, decoded, lambda: tf.zeros((0, *(n or 1 for n in shape))))
    return tf.ensure_shape(images, (None, *shape))


def _decode_one(content, shape):
    import tensorflow as tf

    height, width, channels = shape
    pixels = tf.cond(
        tf.io.is_jpeg(content),
        lambda: tf.io.decode_jpeg(content, channels=3, dct_method="INTEGER_ACCURATE"),
        lambda: tf.io.decode_image(content, channels=3, expand_animations=False),
    )
    pixels.set_shape((None, None, 3))
    if channels == 1:
        weights = tf.constant([19595, 38470, 7471])
        pixels = (tf.reduce_sum(tf.cast(pixels, tf.int32) * weights, axis=-1, keepdims=True) + 2**15) // 2**16
    pixels = tf.cast(pixels, tf.float32)
    if height is not None and width is not None:
        pixels = tf.round(tf.image.resize(pixels, (height, width), antialias=True))
    return tf.ensure_shape(pixels, shape)
