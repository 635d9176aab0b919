"""Metrics that Keras has no class for, or one that is not exact enough.

For classes of pixels Keras has `SparseCategoricalAccuracy` and `MeanIoU(num_classes, sparse_y_pred=False)`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import keras
from keras import ops

from keras_pdecnn.utils import arguments, targets


@keras.saving.register_keras_serializable(package="keras_pdecnn")
class PSNR(keras.metrics.Mean):
    """Peak signal-to-noise ratio in decibels, the mean over the images.

    10 log10(max_value^2 / mean((y - y')^2)),   the inner mean over all entries of an image

    The mean of the decibels of images is not the decibels of the mean error. Targets of images with one channel may
    lack its axis.

    Args:
        max_value: Range of the pixels; default 1.
        name: Name of the metric; default "psnr".
        dtype: Type of the computation; default `keras.config.floatx()`.

    Raises:
        ValueError: If `max_value` is not positive; in use, if the targets do not fit the outputs.

    Example:
        >>> metric = PSNR()
        >>> metric.update_state(keras.ops.zeros((1, 4, 4, 1)), keras.ops.full((1, 4, 4, 1), 0.1))
        >>> round(float(metric.result()), 3)
        20.0
    """

    def __init__(self, max_value=1.0, name="psnr", dtype=None):
        super().__init__(name=name, dtype=arguments.check_dtype(dtype))
        self.max_value = arguments.check_positive("max_value", max_value)

    def update_state(self, y_true, y_pred, sample_weight=None):
        y_true, y_pred = (ops.cast(y, self.dtype) for y in (y_true, y_pred))
        y_true = targets.of_numbers(y_true, y_pred)
        error = ops.mean(ops.square(y_true - y_pred), axis=tuple(range(1, len(y_pred.shape))))
        error = ops.maximum(error, 1e-20)  # equal images have 200 dB at most
        decibels = 10 / math.log(10) * (2 * math.log(self.max_value) - ops.log(error))
        return super().update_state(decibels, sample_weight=sample_weight)

    def get_config(self):
        return {"name": self.name, "dtype": self.dtype, "max_value": self.max_value}


@keras.saving.register_keras_serializable(package="keras_pdecnn")
class SSIM(keras.metrics.Mean):
    """Structural similarity (Wang et al. 2004), the mean over the channels and the images; 1 for equal images.

    ((2 m m' + c1) (2 s_12 + c2)) / ((m^2 + m'^2 + c1) (s_1^2 + s_2^2 + c2)),   averaged over the places of a window

    m, s^2 and s_12 are means, variances and the covariance in a Gaussian window of 11x11 pixels with the standard
    deviation 1.5, which lies inside the image; c1 = (0.01 max_value)^2, c2 = (0.03 max_value)^2. Targets of images with
    one channel may lack its axis.

    Args:
        max_value: Range of the pixels; default 1.
        name: Name of the metric; default "ssim".
        dtype: Type of the computation; default `keras.config.floatx()`.

    Raises:
        ValueError: If `max_value` is not positive; in use, if the images have not two space axes of 11 pixels at least,
            or the targets do not fit the outputs.

    Example:
        >>> metric = SSIM()
        >>> metric.update_state(keras.ops.ones((1, 16, 16, 3)), keras.ops.ones((1, 16, 16, 3)))
        >>> float(metric.result())
        1.0
    """

    _SIZE, _SIGMA = 11, 1.5

    def __init__(self, max_value=1.0, name="ssim", dtype=None):
        super().__init__(name=name, dtype=arguments.check_dtype(dtype))
        self.max_value = arguments.check_positive("max_value", max_value)

    def update_state(self, y_true, y_pred, sample_weight=None):
        shape = tuple(y_pred.shape)
        if len(shape) != 4 or any(n is not None and n < self._SIZE for n in shape[1:3]):
            raise ValueError(
                f"SSIM takes images (batch, height, width, channels) of at least {self._SIZE} pixels along each axis. "
                f"Received: shape={shape}"
            )
        a, b = (ops.cast(y, self.dtype) for y in (y_true, y_pred))
        a = targets.of_numbers(a, b)
        mean_a, mean_b = self._blur(a), self._blur(b)
        variances = self._blur(a * a + b * b) - mean_a**2 - mean_b**2
        covariance = self._blur(a * b) - mean_a * mean_b
        c1, c2 = (0.01 * self.max_value) ** 2, (0.03 * self.max_value) ** 2
        luminance = (2 * mean_a * mean_b + c1) / (mean_a**2 + mean_b**2 + c1)
        similar = luminance * (2 * covariance + c2) / (variances + c2)
        return super().update_state(ops.mean(similar, axis=(1, 2, 3)), sample_weight=sample_weight)

    def _blur(self, y):
        """Return the means over the windows, each channel by itself."""
        weights = [math.exp(-((i - self._SIZE // 2) ** 2) / (2 * self._SIGMA**2)) for i in range(self._SIZE)]
        line = ops.convert_to_tensor([weight / sum(weights) for weight in weights], self.dtype)
        for shape in ((-1, 1, 1, 1), (1, -1, 1, 1)):
            kernel = ops.tile(ops.reshape(line, shape), (1, 1, y.shape[-1], 1))
            y = ops.depthwise_conv(y, kernel, data_format="channels_last")
        return y

    def get_config(self):
        return {"name": self.name, "dtype": self.dtype, "max_value": self.max_value}


@keras.saving.register_keras_serializable(package="keras_pdecnn")
class StandardizedR2Score(keras.metrics.R2Score):
    """Coefficient of determination R^2 = 1 - sum (y - y')^2 / sum (y - mean(y))^2, the mean over the outputs.

    Keras's `R2Score` computes the second sum as sum y^2 - (sum y)^2 / n, which loses all digits in float32 if the
    numbers are large compared with their deviation. Here they are standardised first, (y - mean) / deviation, which
    does not change R^2.

    Args:
        mean: Mean of each output, or about that; a number, or one per output. Default 0.
        deviation: Standard deviation of each output, or about that, positive; a number, or one per output. Default 1.
        name: Name of the metric; default "r2_score".
        dtype: Type of the computation; default `keras.config.floatx()`.

    Raises:
        ValueError: If a deviation is not positive.

    Example:
        >>> metric = StandardizedR2Score(mean=1e5, deviation=10)
        >>> y = keras.ops.array([[100010.0], [99990.0], [100000.0]])
        >>> metric.update_state(y, 0 * y + 1e5)
        >>> round(float(metric.result()), 3)
        0.0
    """

    def __init__(self, mean=0.0, deviation=1.0, name="r2_score", dtype=None):
        super().__init__(name=name, dtype=arguments.check_dtype(dtype))
        for number in deviation if isinstance(deviation, Sequence) else (deviation,):
            arguments.check_positive("deviation", number)
        self.mean, self.deviation = mean, deviation

    def update_state(self, y_true, y_pred, sample_weight=None):
        mean, deviation = (ops.convert_to_tensor(value, self.dtype) for value in (self.mean, self.deviation))
        y_true, y_pred = ((ops.cast(y, self.dtype) - mean) / deviation for y in (y_true, y_pred))
        return super().update_state(y_true, y_pred, sample_weight)

    def get_config(self):
        return {"name": self.name, "dtype": self.dtype, "mean": self.mean, "deviation": self.deviation}


@keras.saving.register_keras_serializable(package="keras_pdecnn")
class LogitAUC(keras.metrics.AUC):
    """Area under the receiver operating characteristic of probabilities, the mean over the labels.

    Keras's `AUC` counts at 200 thresholds between 0 and 1. The probabilities of a rare label may all lie between two of
    them. Here 4,000 thresholds have equal distances of their logits, log(p / (1 - p)), between -16 and 16.

    Args:
        num_labels: Number of labels, the size of the last axis of the probabilities.
        name: Name of the metric; default "auc".
        dtype: Type of the computation; default `keras.config.floatx()`.

    Raises:
        ValueError: If `num_labels` is not a positive integer.

    Example:
        >>> metric = LogitAUC(num_labels=1)
        >>> metric.update_state([[0], [1], [0], [1]], [[0.001], [0.003], [0.0005], [0.002]])
        >>> round(float(metric.result()), 3)
        1.0
    """

    _THRESHOLDS, _LARGEST = 4000, 16.0

    def __init__(self, num_labels, name="auc", dtype=None):
        labels = arguments.check_positive_integer("num_labels", num_labels)
        super().__init__(
            num_thresholds=self._THRESHOLDS,
            multi_label=True,
            num_labels=labels,
            name=name,
            dtype=arguments.check_dtype(dtype),
        )

    def update_state(self, y_true, y_pred, sample_weight=None):
        y_pred = ops.cast(y_pred, self.dtype)
        logit = ops.log(ops.maximum(y_pred, 1e-30)) - ops.log(ops.maximum(1 - y_pred, 1e-30))
        # The area depends only on the order of the numbers, which stay between 0 and 1.
        return super().update_state(y_true, ops.clip(0.5 + logit / (2 * self._LARGEST), 0, 1), sample_weight)

    def get_config(self):
        return {"name": self.name, "dtype": self.dtype, "num_labels": self.num_labels}
