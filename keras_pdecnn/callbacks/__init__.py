"""Keras callbacks."""

from keras_pdecnn.callbacks.divergence import Divergence, DivergenceGuard
from keras_pdecnn.callbacks.stability import StabilityMonitor

__all__ = ["Divergence", "DivergenceGuard", "StabilityMonitor"]
