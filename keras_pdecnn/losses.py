"""Least squares, one of the two losses of the paper's training problem (problem 4)."""

from __future__ import annotations

import keras
from keras import ops

from keras_pdecnn.utils import arguments


@keras.saving.register_keras_serializable(package="keras_pdecnn")
class LeastSquares(keras.losses.Loss):
    """Half the squared distance 1/2 |f - c|^2 of the outputs f and the targets c, averaged over the batch.

    Targets with one axis less than the outputs are integer labels: c is then 1 in the entry of the class of the example
    and 0 in the others. Use this loss with a network without softmax (`classifier_activation=None`). The predicted
    class is that of the largest output.

    Args:
        reduction: Reduction over the batch, "sum_over_batch_size" (default), "sum", "mean", "mean_with_sample_weight"
            or None, see `keras.losses.Loss`.
        name: Name of the loss; default "least_squares".
        dtype: Type of the computation; default `keras.config.floatx()`.

    Raises:
        ValueError: If an argument is outside its range.

    Example:
        >>> float(LeastSquares()(keras.ops.array([1]), keras.ops.array([[0.5, 0.5, 0.0]])))
        0.25
    """

    def __init__(self, reduction="sum_over_batch_size", name="least_squares", dtype=None):
        super().__init__(name=name, reduction=reduction, dtype=arguments.check_dtype(dtype))

    def call(self, y_true, y_pred):
        if len(y_true.shape) < len(y_pred.shape):
            y_true = ops.one_hot(ops.cast(y_true, "int32"), y_pred.shape[-1], dtype=y_pred.dtype)
        return 0.5 * ops.sum(ops.square(y_pred - y_true), axis=-1)

    def get_config(self):
        # Keras leaves the type out.
        return {**super().get_config(), "dtype": self.dtype}
