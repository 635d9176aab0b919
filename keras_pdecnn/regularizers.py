"""The regulariser of the training problem for weights that depend on time (eq. 13)."""

from __future__ import annotations

import keras
from keras import ops

from keras_pdecnn.ops import exact
from keras_pdecnn.utils.arguments import check_non_negative, check_positive


@keras.saving.register_keras_serializable(package="keras_pdecnn")
class TimeSmoothness(keras.regularizers.Regularizer):
    """Smoothed total variation in time plus decay, for weights with time on axis 0 (eq. 13).

    R(theta) = total_variation * h * sum_{j<N-1} sum sqrt(((theta_{j+1} - theta_j) / h)^2 + tau)
               + decay / 2 * h * sum_j ||theta_j||^2

    Args:
        total_variation: Factor alpha1 of the variation in time, at least 0.
        decay: Factor alpha2 of the squared norm, at least 0.
        step_size: Step size h, the positive time between two entries of axis 0. For a block whose step size is "auto",
            the builders of models take its upper bound.
        tau: Positive number that smooths the absolute value at 0; default 1e-3.

    Raises:
        ValueError: If an argument is outside its range.

    Example:
        >>> float(TimeSmoothness(1.0, 0.0, 0.5, tau=1.0)(keras.ops.zeros((3, 2))))
        2.0
    """

    def __init__(self, total_variation, decay, step_size, tau=1e-3):
        self.total_variation = check_non_negative("total_variation", total_variation)
        self.decay = check_non_negative("decay", decay)
        self.step_size = check_positive("step_size", step_size)
        self.tau = check_positive("tau", tau)

    def __call__(self, theta):
        h = self.step_size
        slope = (theta[1:] - theta[:-1]) / h
        variation = ops.sum(exact.sqrt(ops.square(slope) + self.tau))
        return self.total_variation * h * variation + 0.5 * self.decay * h * ops.sum(ops.square(theta))

    def get_config(self):
        return {
            "total_variation": self.total_variation,
            "decay": self.decay,
            "step_size": self.step_size,
            "tau": self.tau,
        }
