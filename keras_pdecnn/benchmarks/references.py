"""How a measurement in a fresh process names the block or the builder that it measures."""

from __future__ import annotations

import importlib
import types
from typing import Any

from keras_pdecnn.networks.record import resolve


def reference(target: Any, module: types.ModuleType) -> str:
    """Return the text by which `find` gets a class or function again.

    Args:
        target: Class or function.
        module: `layers` or `models`, whose objects are referred to by their name alone.

    Returns:
        "Name" of an object of the module, otherwise "module:Name".

    Raises:
        ValueError: If a fresh process could not import the object.

    Example:
        >>> from keras_pdecnn import layers
        >>> reference(layers.HamiltonianBlock, layers)
        'HamiltonianBlock'
    """
    name = getattr(target, "__name__", "")
    if getattr(module, name, None) is target:
        return name
    if target.__module__ == "__main__" or getattr(importlib.import_module(target.__module__), name, None) is not target:
        raise ValueError(
            "A benchmark runs in a fresh process, so that its blocks and builders must stand in a module that can be "
            f"imported. Received: {target!r}"
        )
    return f"{target.__module__}:{name}"


def find(text: str, module: types.ModuleType) -> Any:
    """Return the object that a text of `reference` stands for.

    Args:
        text: "Name" of an object of the module, or "module:Name".
        module: `layers` or `models`.

    Example:
        >>> from keras_pdecnn import layers
        >>> find("HamiltonianBlock", layers).__name__
        'HamiltonianBlock'
    """
    return resolve(text) if ":" in text else getattr(module, text)
