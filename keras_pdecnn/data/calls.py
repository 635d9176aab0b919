"""Calls of Python from the threads of TensorFlow, which end before Python does."""

from __future__ import annotations

import atexit
import functools
import threading
import time
from collections.abc import Callable

import numpy as np

_IDLE, _MOST = 0.2, 10.0  # seconds


class ReadError(ValueError):
    """Examples could not be read while a data set was in use; the message names the file."""


class _Calls:
    """The calls that are going on.

    A thread of TensorFlow that calls Python while Python ends waits forever, and Python waits for the thread. So at the
    end, calls are refused, and Python waits until TensorFlow, whose buffers are full then, makes no more.
    """

    def __init__(self):
        self._lock = threading.Lock()
        self._active = 0
        self._last = 0.0
        self._at_end = False
        atexit.register(self._wait)

    def run(self, function: Callable, *arguments):
        with self._lock:
            self._active += 1
        try:
            if self._at_end:
                raise ReadError("Python ends.")
            return function(*arguments)
        finally:
            with self._lock:
                self._active -= 1
                self._last = time.monotonic()

    def _wait(self):
        self._at_end = True
        end = time.monotonic() + _MOST
        while time.monotonic() < end and (self._active or time.monotonic() - self._last < _IDLE):
            time.sleep(_IDLE / 10)


_CALLS = _Calls()


def call(function: Callable, inputs, dtype):
    """Return the tensor of an array that a function of arrays returns, called when the tensor is needed.

    A `ReadError` of the function becomes the message of an assertion: TensorFlow would log the traceback of an
    exception.

    Args:
        function: Function of NumPy arrays to one array, which changes nothing.
        inputs: Tensors, its arguments.
        dtype: Type of the array, of TensorFlow.
    """
    import tensorflow as tf

    nothing = np.array([b""], object) if dtype == tf.string else np.zeros(1, dtype.as_numpy_dtype)
    run = functools.partial(_value_and_error, functools.partial(_CALLS.run, function), nothing)
    value, error = tf.numpy_function(run, inputs, (dtype, tf.string), stateful=False)
    with tf.control_dependencies([tf.debugging.Assert(tf.equal(error, ""), [error], summarize=1)]):
        return tf.identity(value)


def _value_and_error(function: Callable, nothing: np.ndarray, *arguments: np.ndarray) -> tuple[np.ndarray, bytes]:
    """Return the value of a function and no error, or `nothing` and the message of its ReadError."""
    try:
        return function(*arguments), b""
    except ReadError as error:
        return nothing, f"ReadError: {error}".encode()
