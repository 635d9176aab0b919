"""Losses of classes: least squares, cross-entropy with smoothing, margins of logits; and a loss of numbers."""

from __future__ import annotations

import keras
from keras import ops

from keras_pdecnn.utils import arguments, targets


@keras.saving.register_keras_serializable(package="keras_pdecnn")
class LeastSquares(keras.losses.Loss):
    """Half the squared distance 1/2 |f - c|^2 of the outputs f and the targets c, averaged over the batch.

    Targets with one axis less than the outputs, or with a last axis of a single entry, are integer labels: c is then 1
    in the entry of the class of the example and 0 in the others. Use this loss with a network without softmax
    (`classifier_activation=None`). The predicted class is that of the largest output.

    Args:
        reduction: Reduction over the batch, "sum_over_batch_size" (default), "sum", "mean", "mean_with_sample_weight"
            or None, see `keras.losses.Loss`.
        name: Name of the loss; default "least_squares".
        dtype: Type of the computation; default `keras.config.floatx()`.

    Raises:
        ValueError: If an argument is outside its range; in use, if the targets do not fit the outputs.

    Example:
        >>> float(LeastSquares()(keras.ops.array([1]), keras.ops.array([[0.5, 0.5, 0.0]])))
        0.25
    """

    def __init__(self, reduction="sum_over_batch_size", name="least_squares", dtype=None):
        super().__init__(name=name, reduction=reduction, dtype=arguments.check_dtype(dtype))

    def call(self, y_true, y_pred):
        y_true = targets.of_classes(y_true, y_pred)
        return 0.5 * ops.sum(ops.square(y_pred - y_true), axis=-1)

    def get_config(self):
        # Keras leaves the type out.
        return {**super().get_config(), "dtype": self.dtype}


@keras.saving.register_keras_serializable(package="keras_pdecnn")
class CrossEntropy(keras.losses.Loss):
    """Cross-entropy -sum_k c_k log p_k of probabilities p and targets c, averaged over the batch.

    Targets with one axis less than the outputs, or with a last axis of a single entry, are integer labels; others are
    probabilities of the classes, such as those of mixed examples. `label_smoothing=s` replaces c by
    (1 - s) c + s / classes.

    Args:
        label_smoothing: Share of the probability that is spread over all classes, in [0, 1); default 0.
        reduction: Reduction over the batch, "sum_over_batch_size" (default), "sum", "mean", "mean_with_sample_weight"
            or None, see `keras.losses.Loss`.
        name: Name of the loss; default "cross_entropy".
        dtype: Type of the computation; default `keras.config.floatx()`.

    Raises:
        ValueError: If an argument is outside its range; in use, if the targets do not fit the outputs.

    Example:
        >>> loss = CrossEntropy(label_smoothing=0.1)
        >>> round(float(loss(keras.ops.array([1]), keras.ops.array([[0.5, 0.5]]))), 4)
        0.6931
    """

    def __init__(self, label_smoothing=0.0, reduction="sum_over_batch_size", name="cross_entropy", dtype=None):
        super().__init__(name=name, reduction=reduction, dtype=arguments.check_dtype(dtype))
        self.label_smoothing = arguments.check_fraction("label_smoothing", label_smoothing)

    def call(self, y_true, y_pred):
        y_true = targets.of_classes(y_true, y_pred)
        return keras.losses.categorical_crossentropy(y_true, y_pred, label_smoothing=self.label_smoothing)

    def get_config(self):
        # Keras leaves the type out.
        return {**super().get_config(), "label_smoothing": self.label_smoothing, "dtype": self.dtype}


@keras.saving.register_keras_serializable(package="keras_pdecnn")
class MarginCrossEntropy(keras.losses.Loss):
    """Cross-entropy of logits z with an offset and a temperature, averaged over the batch.

    t CE(softmax((z - m c) / t), c),   c the targets

    The loss of an example is close to 0 only if the logit of its class is larger than all others by more than the
    margin m; t says how much more. Plain cross-entropy has m = 0 and t = 1. The gradients of t CE(z / t) do not become
    smaller with t. For logits whose Lipschitz constant is L, a margin m certifies the radius m / (sqrt(2) L) or more.

    With m = sqrt(2) and t = 1/4 for L = 1, this is the loss of Prach and Lampert (Almost-Orthogonal Layers, 2022). The
    offset is that of Tsuzuku, Sato and Sugiyama (Lipschitz-Margin Training, 2018), who add it to all other logits. With
    `adaptive`, the offset of class j is min(m, max(z_y - z_j, 0)), without a gradient: at most what makes class j as
    likely as the class y of the example (Hu, Leino, Wang and Fredrikson, A Recipe for Improved Certifiable Robustness,
    2024, EMMA). An example that is classified wrongly is then trained without an offset.

    Use this loss with a network whose Lipschitz constant is bounded, such as one with `provable=True`: other networks
    reach any margin by larger weights. The logarithms of probabilities are logits up to a number that is the same for
    all classes, which changes neither the loss nor its gradient.

    Args:
        margin: Offset m, at least 0; default 1.
        temperature: Temperature t, positive; default 0.25.
        adaptive: Whether an offset is at most the margin that the example has; default False.
        from_logits: Whether the outputs are logits instead of probabilities; default False, as in Keras.
        reduction: Reduction over the batch, "sum_over_batch_size" (default), "sum", "mean", "mean_with_sample_weight"
            or None, see `keras.losses.Loss`.
        name: Name of the loss; default "margin_cross_entropy".
        dtype: Type of the computation; default `keras.config.floatx()`.

    Raises:
        ValueError: If an argument is outside its range; in use, if the targets do not fit the outputs.

    Example:
        >>> loss = MarginCrossEntropy(margin=1.0, temperature=0.25, from_logits=True)
        >>> logits = keras.ops.array([[0.0, 1.0]])  # the margin of class 1 is 1: the loss is log(2) / 4
        >>> round(float(loss(keras.ops.array([1]), logits)), 4)
        0.1733
    """

    def __init__(
        self,
        margin=1.0,
        temperature=0.25,
        adaptive=False,
        from_logits=False,
        reduction="sum_over_batch_size",
        name="margin_cross_entropy",
        dtype=None,
    ):
        super().__init__(name=name, reduction=reduction, dtype=arguments.check_dtype(dtype))
        self.margin = arguments.check_non_negative("margin", margin)
        self.temperature = arguments.check_positive("temperature", temperature)
        self.adaptive = arguments.check_flag("adaptive", adaptive)
        self.from_logits = arguments.check_flag("from_logits", from_logits)

    def call(self, y_true, y_pred):
        y_true, logits = targets.of_classes(y_true, y_pred), _logits(y_pred, self.from_logits)
        offsets = self.margin * (1 - y_true)
        if self.adaptive:
            ahead = ops.relu(ops.sum(y_true * logits, axis=-1, keepdims=True) - logits)
            offsets = ops.stop_gradient(ops.minimum(offsets, (1 - y_true) * ahead))
        logits = (logits + offsets) / self.temperature
        return -self.temperature * ops.sum(y_true * ops.log_softmax(logits, axis=-1), axis=-1)

    def get_config(self):
        return {
            **super().get_config(),
            "margin": self.margin,
            "temperature": self.temperature,
            "adaptive": self.adaptive,
            "from_logits": self.from_logits,
            "dtype": self.dtype,
        }


@keras.saving.register_keras_serializable(package="keras_pdecnn")
class MarginHinge(keras.losses.Loss):
    """Hinge of the margin of logits z, max(0, m - (z_y - max_{j != y} z_j)), averaged over the batch.

    y is the class of the example (Crammer and Singer, 2001). For logits whose Lipschitz constant is L, the margin is
    sqrt(2) L times the certified radius, so this is the hinge of the certified radius: examples that are certified at
    m / (sqrt(2) L) have no gradient, and all others have gradients of the same size.

    Use it with the same networks as `MarginCrossEntropy`.

    Args:
        margin: Margin m that is asked for, positive; default 1.
        from_logits: Whether the outputs are logits instead of probabilities; default False, as in Keras.
        reduction: Reduction over the batch, "sum_over_batch_size" (default), "sum", "mean", "mean_with_sample_weight"
            or None, see `keras.losses.Loss`.
        name: Name of the loss; default "margin_hinge".
        dtype: Type of the computation; default `keras.config.floatx()`.

    Raises:
        ValueError: If an argument is outside its range; in use, if the targets do not fit the outputs.

    Example:
        >>> loss = MarginHinge(margin=1.5, from_logits=True)
        >>> round(float(loss(keras.ops.array([1]), keras.ops.array([[0.0, 1.0, 0.4]]))), 4)
        0.9
    """

    def __init__(self, margin=1.0, from_logits=False, reduction="sum_over_batch_size", name="margin_hinge", dtype=None):
        super().__init__(name=name, reduction=reduction, dtype=arguments.check_dtype(dtype))
        self.margin = arguments.check_positive("margin", margin)
        self.from_logits = arguments.check_flag("from_logits", from_logits)

    def call(self, y_true, y_pred):
        y_true, logits = targets.of_classes(y_true, y_pred), _logits(y_pred, self.from_logits)
        own = ops.sum(y_true * logits, axis=-1)
        # The logit of the class is made smaller than all others.
        spread = ops.stop_gradient(ops.max(logits, axis=-1, keepdims=True) - ops.min(logits, axis=-1, keepdims=True))
        largest_other = ops.max(logits - y_true * (spread + 1), axis=-1)
        return ops.relu(self.margin - own + largest_other)

    def get_config(self):
        return {
            **super().get_config(),
            "margin": self.margin,
            "from_logits": self.from_logits,
            "dtype": self.dtype,
        }


@keras.saving.register_keras_serializable(package="keras_pdecnn")
class ScaledSquaredError(keras.losses.Loss):
    """Mean squared error of numbers that are divided by a scale, so that it does not depend on their unit.

    mean(((y - y') / s)^2),   the mean over all outputs of an example

    Targets of networks with a single output or channel may lack its axis.

    Args:
        scale: Scale s of all outputs, or one for each; default 1. For numbers it is their standard deviation, for
            images the value of white.
        reduction: Reduction over the batch, "sum_over_batch_size" (default), "sum", "mean", "mean_with_sample_weight"
            or None, see `keras.losses.Loss`.
        name: Name of the loss; default "scaled_squared_error".
        dtype: Type of the computation; default `keras.config.floatx()`.

    Raises:
        ValueError: If an argument is outside its range; in use, if the targets do not fit the outputs.

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
        error = (targets.of_numbers(y_true, y_pred) - y_pred) / scale
        return ops.mean(ops.square(error), axis=-1)

    def get_config(self):
        # Keras leaves the type out.
        return {**super().get_config(), "scale": self.scale, "dtype": self.dtype}


def _logits(y_pred, from_logits: bool):
    """Return logits; those of probabilities are their logarithms, of at least the smallest normal number in float32."""
    return y_pred if from_logits else ops.log(ops.maximum(y_pred, 1.2e-38))
