"""The standard streams of the process."""

from __future__ import annotations

import contextlib
import os


@contextlib.contextmanager
def quiet():
    """Suppress what TensorFlow prints while it is imported, and afterwards everything but fatal errors."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # No setting suppresses TensorFlow's first lines, so the standard error of native code goes nowhere meanwhile.
    standard_error = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(standard_error, 2)
        os.close(nowhere)
        os.close(standard_error)
