"""Packages that only a part of this package needs, with one error where one of them is missing."""

from __future__ import annotations

import importlib
import sys


class MissingPackageError(ImportError):
    """A package that was asked for is not installed."""


def load(module: str, purpose: str, package: str | None = None):
    """Import a module and return it.

    Args:
        module: Name of the module.
        purpose: What needs it, as the beginning of the message: "pde.data.load".
        package: Name under which pip installs it; default None, the name of the module.

    Raises:
        MissingPackageError: If the module cannot be imported.

    Example:
        >>> load("json", "this example").dumps([1])
        '[1]'
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingPackageError(
            f"{purpose} needs the package {package or module}: pip install {package or module}. "
            f"Received: no module {error.name or module}"
        ) from error


def tensorflow(purpose: str):
    """Import TensorFlow and return it.

    Under another backend of Keras, a GPU is the backend's: TensorFlow, which reserves the memory of every GPU that it
    sees, then sees none, unless it has been imported before.

    Args:
        purpose: What needs it, as the beginning of the message: "pde.data.load".

    Raises:
        MissingPackageError: If TensorFlow is not installed.
    """
    import keras

    is_new = "tensorflow" not in sys.modules
    tf = load("tensorflow", purpose)
    if is_new and keras.backend.backend() != "tensorflow":
        tf.config.set_visible_devices([], "GPU")
    return tf
