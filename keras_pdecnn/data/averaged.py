"""Examples of fewer pixels, each of which is the average of some pixels of another example."""

from __future__ import annotations

import numpy as np

from keras_pdecnn.data.stored import Stored


class Averaged(Stored):
    """Smaller examples; integers are rounded.

    Args:
        examples: The examples that are averaged.
        count: Number of pixels on each space axis that become one.

    Raises:
        ValueError: If a size is not known, or is no multiple of `count`.
    """

    def __init__(self, examples: Stored, count: int):
        *space, channels = examples.shape[1:]
        if any(size is None or size % count for size in space):
            raise ValueError(
                f"Examples of {' x '.join(map(str, space))} pixels have no averages of {count} pixels on each axis. "
                f"Received: factor=1/{count}"
            )
        super().__init__(len(examples), (*(size // count for size in space), channels), examples.dtype)
        self.examples, self.count = examples, count

    def batch(self, rows, window=None):
        import tensorflow as tf

        x = self.examples.batch(rows, window)
        exact = self.dtype == np.float64 or (self.dtype.kind in "iu" and self.dtype.itemsize > 2)
        parts = [part for size in self.shape[1:-1] for part in (size, self.count)]
        x = tf.reshape(tf.cast(x, tf.float64 if exact else tf.float32), (tf.shape(rows)[0], *parts, self.shape[-1]))
        x = tf.reduce_mean(x, axis=list(range(2, len(x.shape), 2)))
        x = tf.cast(x if self.dtype.kind == "f" else tf.round(x), tf.as_dtype(self.dtype))
        return tf.ensure_shape(x, (rows.shape[0], *self.shape[1:]))
