"""What callbacks ask of the weights of a model."""

from __future__ import annotations

import keras
import numpy as np


def are_finite(model: keras.Model) -> bool:
    """Return whether no weight of a model is NaN or infinite."""
    return all(np.isfinite(weight).all() for weight in model.get_weights())
