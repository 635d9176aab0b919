"""Losses of class labels, least squares (the paper's problem 4) and cross-entropy with smoothing; and of numbers."""

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


@keras.saving.register_keras_serializable(package="keras_pdecnn")
class CrossEntropy(keras.losses.Loss):
    """Cross-entropy -sum_k c_k log p_k of probabilities p and targets c, averaged over the batch.

    Targets with one axis less than the outputs are integer labels; others are probabilities of the classes, such as
    those of mixed examples. `label_smoothing=s` replaces c by (1 - s) c + s / classes.

    Args:
        label_smoothing: Share of the probability that is spread over all classes, in [0, 1); default 0.
        reduction: Reduction over the batch, "sum_over_batch_size" (default), "sum", "mean", "mean_with_sample_weight"
            or None, see `keras.losses.Loss`.
        name: Name of the loss; default "cross_entropy".
        dtype: Type of the computation; default `keras.config.floatx()`.

    Raises:
        ValueError: If an argument is outside its range.

    Example:
        >>> loss = CrossEntropy(label_smoothing=0.1)
        >>> round(float(loss(keras.ops.array([1]), keras.ops.array([[0.5, 0.5]]))), 4)
        0.6931
    """

    def __init__(self, label_smoothing=0.0, reduction="sum_over_batch_size", name="cross_entropy", dtype=None):
        super().__init__(name=name, reduction=reduction, dtype=arguments.check_dtype(dtype))
        self.label_smoothing = arguments.check_fraction("label_smoothing", label_smoothing)

    def call(self, y_true, y_pred):
        if len(y_true.shape) < len(y_pred.shape):
            y_true = ops.one_hot(ops.cast(y_true, "int32"), y_pred.shape[-1], dtype=y_pred.dtype)
        return keras.losses.categorical_crossentropy(y_true, y_pred, label_smoothing=self.label_smoothing)

    def get_config(self):
        # Keras leaves the type out.
        return {**super().get_config(), "label_smoothing": self.label_smoothing, "dtype": self.dtype}


@keras.saving.register_keras_serializable(package="keras_pdecnn")
class ScaledSquaredError(keras.losses.Loss):
    """Mean squared error of numbers that are divided by a scale, so that it does not depend on their unit.

    mean(((y - y') / s)^2),   the mean over all outputs of an example

    Args:
        scale: Scale s of all outputs, or one for each; default 1. For numbers it is their standard deviation, for
            images the value of white.
        reduction: Reduction over the batch, "sum_over_batch_size" (default), "sum", "mean", "mean_with_sample_weight"
            or None, see `keras.losses.Loss`.
        name: Name of the loss; default "scaled_squared_error".
        dtype: Type of the computation; default `keras.config.floatx()`.

    Raises:
        ValueError: If an argument is outside its range.

    Example:
        >>> float(ScaledSquaredError(scale=2.0)(keras.ops.array([[3.0]]), keras.ops.array([[1.0]])))
        1.0
    """

    def __init__(self, scale=1.0, reduction="sum_over_batch_size", name="scaled_squared_error", dtype=None):
        super().__init__(name=name, reduction=reduction, dtype=arguments.check_dtype(dtype))
        entries = scale if isinstance(scale, tuple | list) else (scale,)
        entries = [arguments.check_positive("scale", entry) for entry in entries]
        self.scale = entries if isinstance(scale, tuple | list) else entries[0]

    def call(self, y_true, y_pred):
        scale = ops.convert_to_tensor(self.scale, y_pred.dtype)
        error = (ops.cast(y_true, y_pred.dtype) - y_pred) / scale
        return ops.mean(ops.square(error), axis=-1)

    def get_config(self):
        # Keras leaves the type out.
        return {**super().get_config(), "scale": self.scale, "dtype": self.dtype}
