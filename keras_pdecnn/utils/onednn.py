"""Turns oneDNN on, the library of TensorFlow's fast convolutions. Nothing of Keras may be imported before this module.

TensorFlow reads the variable when it is first imported. Without it, convolutions on processors without AVX-512 take
about twice the time and the memory in training. A value that the user has set, or an earlier import, prevails.
"""

from __future__ import annotations

import os
import platform
import sys
import warnings

_VARIABLE = "TF_ENABLE_ONEDNN_OPTS"
_TOO_LATE = "tensorflow" in sys.modules and _VARIABLE not in os.environ
os.environ.setdefault(_VARIABLE, "1")


def warn_if_off(too_late: bool = _TOO_LATE):
    """Warn if TensorFlow's convolutions run on a processor that could use oneDNN and does not.

    Args:
        too_late: Whether TensorFlow was imported before this package, without a choice of the user; by default what
            this module found.
    """
    if not too_late or platform.machine() not in ("x86_64", "AMD64"):
        return
    import keras
    import tensorflow as tf
    from tensorflow.python.util import _pywrap_util_port  # no public function tells whether oneDNN is on

    if keras.backend.backend() == "tensorflow" and not (
        _pywrap_util_port.IsMklEnabled() or tf.config.list_physical_devices("GPU")
    ):
        warnings.warn(
            "TensorFlow was imported before keras_pdecnn and does without oneDNN on this processor, so training takes "
            f"up to twice as long. Import keras_pdecnn before keras and tensorflow, or set {_VARIABLE}=1.",
            stacklevel=3,
        )
