"""Examples that are read by their numbers: from memory, or from a file for each batch."""

from __future__ import annotations

import abc
import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from keras_pdecnn.data.calls import ReadError, call

_READ_AT_ONCE = 256  # examples


class Stored(abc.ABC):
    """Examples that are read by their numbers, in any order: an array that need not be in memory.

    Args:
        count: Number of examples.
        shape: `(*space, channels)` of an example.
        dtype: Type of the examples.
    """

    def __init__(self, count: int, shape: tuple[int, ...], dtype):
        self.shape = (count, *shape)
        self.dtype = np.dtype(dtype)

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def nbytes(self) -> int:
        """Number of bytes that the examples would take in memory."""
        return math.prod(self.shape) * self.dtype.itemsize

    def __getitem__(self, rows: np.ndarray) -> Stored:
        """Return the examples with these numbers; nothing is read."""
        return _Chosen(self, np.arange(len(self))[rows])

    @abc.abstractmethod
    def batch(self, rows, window=None):
        """Return the examples in these rows, a tensor of shape `(len(rows), *space, channels)`.

        Args:
            rows: int64 tensor of numbers of examples.
            window: float32 tensor of shape `(len(rows), 4)` of numbers in [0, 1), which choose the window of each image
                that is cropped at random. Default None: the window in the centre, or the whole example.
        """

    def batches(self) -> Iterator[np.ndarray]:
        """Yield all examples in their order, as arrays of `_READ_AT_ONCE`."""
        import tensorflow as tf

        starts = tf.data.Dataset.range(0, len(self), _READ_AT_ONCE)
        rows = starts.map(lambda first: tf.range(first, tf.minimum(first + _READ_AT_ONCE, len(self))))
        yield from rows.map(self.batch, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True).as_numpy_iterator()

    def to_array(self) -> np.ndarray:
        """Return all examples as an array in memory."""
        x = np.empty(self.shape, self.dtype)
        for index, batch in enumerate(self.batches()):
            x[index * _READ_AT_ONCE :][: len(batch)] = batch
        return x


class _Chosen(Stored):
    """Some of the examples of others."""

    def __init__(self, examples: Stored, rows: np.ndarray):
        super().__init__(len(rows), examples.shape[1:], examples.dtype)
        self.examples, self.rows = examples, rows.astype(np.int64)
        self._tensor: Any = None

    def __getitem__(self, rows: np.ndarray) -> Stored:
        return _Chosen(self.examples, self.rows[rows])

    def batch(self, rows, window=None):
        import tensorflow as tf

        # One tensor for all graphs, in which it would otherwise be a constant.
        with tf.init_scope(), tf.device("CPU:0"):
            self._tensor = tf.constant(self.rows) if self._tensor is None else self._tensor
        return self.examples.batch(tf.gather(self._tensor, rows), window)


class Held(Stored):
    """Examples in memory, as a tensor in that of the host.

    Args:
        x: Tensor of shape `(n, *space, channels)`.
    """

    def __init__(self, x):
        super().__init__(len(x), tuple(x.shape[1:]), x.dtype.as_numpy_dtype)
        self.x = x

    def batch(self, rows, window=None):
        import tensorflow as tf

        return tf.gather(self.x, rows)


class Read(Stored):
    """Examples that Python reads, row by row."""

    @abc.abstractmethod
    def read(self, rows: np.ndarray, window: np.ndarray | None = None) -> np.ndarray:
        """Return the examples in these rows as an array; raise a ReadError that names the file that cannot be read."""

    def batch(self, rows, window=None):
        import tensorflow as tf

        inputs = [rows] if window is None else [rows, window]
        x = call(self.read, inputs, tf.as_dtype(self.dtype))
        return tf.ensure_shape(x, (rows.shape[0], *self.shape[1:]))


class Rows(Read):
    """Rows of an array of the program, which are not copied before they are used.

    Args:
        x: The array, of shape `(n, *space, channels)`.
    """

    def __init__(self, x: np.ndarray):
        super().__init__(len(x), x.shape[1:], x.dtype)
        self.x = x

    def read(self, rows: np.ndarray, window: np.ndarray | None = None) -> np.ndarray:
        return self.x[rows]


def is_stored(x: Any) -> bool:
    """Return whether examples are read by their numbers, in place of being an array."""
    return isinstance(x, Stored)


def check_finite(x: np.ndarray, rows: np.ndarray, what: str):
    """Raise a ReadError if floating-point examples that have been read are not all finite."""
    if x.dtype.kind == "f":
        finite = np.isfinite(x).all(axis=tuple(range(1, x.ndim)))
        if not finite.all():
            raise ReadError(
                f"{what} must be finite. Received: NaN or infinite values in example {rows[np.argmin(finite)]}"
            )
