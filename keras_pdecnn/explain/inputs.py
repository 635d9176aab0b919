"""The examples that are explained."""

from __future__ import annotations

import keras
import numpy as np


def check_input(model: keras.Model, x) -> np.ndarray:
    """Return examples in the type that the network takes; raise ValueError if they have another shape."""
    x = np.asarray(x)
    expected = tuple(model.input.shape)[1:]
    fits = x.ndim == len(expected) + 1 and len(x)
    if not fits or any(size not in (None, given) for size, given in zip(expected, x.shape[1:], strict=True)):
        raise ValueError(f"x must have the shape {('n', *expected)}. Received: x of shape {x.shape}")
    return x.astype(model.input.dtype)
