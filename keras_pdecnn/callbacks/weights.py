"""Whether the weights of a model are finite."""

from __future__ import annotations

import keras
import numpy as np


def are_finite(model: keras.Model) -> bool:
    """Return whether all weights of a model are finite, neither NaN nor infinite."""
    return all(np.isfinite(weight).all() for weight in model.get_weights())
