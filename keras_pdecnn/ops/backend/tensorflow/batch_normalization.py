"""Batch normalisation with the statistics of a batch, in TensorFlow's fused operations."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from keras_pdecnn.ops.backend.tensorflow import pixels
from keras_pdecnn.ops.backend.tensorflow.differentiation import delayed, vjp


def normalize_batch(inputs, scale, offset, epsilon: float) -> tuple:
    """Bring each channel to mean 0 and variance 1 over the batch, then scale and shift it, in one fused operation.

    Args:
        inputs: float32 tensor of shape (batch, *space, channels).
        scale: Tensor of shape (channels,).
        offset: Tensor of shape (channels,).
        epsilon: Number that is added to the variance.

    Returns:
        The output, of the shape of the inputs; the mean and the biased variance of the batch, of shape (channels,).
    """
    flat, scale, offset = pixels.flat(inputs), tf.convert_to_tensor(scale), tf.convert_to_tensor(offset)
    outputs, mean, variance, *_ = _normalize(flat, scale, offset, epsilon)
    return pixels.like(inputs, outputs), mean, _biased(variance, flat)


def compute_and_normalize(function: Callable, x, weight, scale, offset, epsilon: float) -> tuple:
    """Return relu of what `normalize_batch` makes of function(x, weight); the gradient keeps nothing but x.

    The other arguments and results are those of `normalize_batch`.
    """

    @tf.custom_gradient
    def run(x, weight, scale, offset):
        inputs = function(x, weight)
        flat = pixels.flat(inputs)
        outputs, mean, variance, *reserved = _normalize(flat, scale, offset, epsilon)
        variance = _biased(variance, flat)

        def gradient(g, *_):
            inputs, pull_back = vjp(lambda arguments: function(*arguments), (delayed(x, g), weight))
            flat = pixels.flat(inputs)
            # Only the signs of the outputs are needed, which the known mean and variance give.
            outputs, *_ = _normalize(flat, scale, offset, epsilon, mean, variance)
            of_flat, *of_weights = tf.raw_ops.FusedBatchNormGradV3(
                y_backprop=tf.raw_ops.ReluGrad(gradients=pixels.flat(g), features=outputs),
                x=flat,
                scale=scale,
                reserve_space_1=reserved[0],
                reserve_space_2=reserved[1],
                reserve_space_3=reserved[2],
                epsilon=epsilon,
                is_training=True,
            )
            return *pull_back(pixels.like(inputs, of_flat)), *of_weights[:2]

        return (pixels.like(inputs, tf.nn.relu(outputs)), mean, variance), gradient

    return run(x, *map(tf.convert_to_tensor, (weight, scale, offset)))


def _normalize(x, scale, offset, epsilon, mean=None, variance=None):
    """Normalise with a mean and a variance, or, without them, with those of the batch."""
    statistics = {"mean": [], "variance": []} if mean is None else {"mean": mean, "variance": variance}
    return tf.raw_ops.FusedBatchNormV3(
        x=x, scale=scale, offset=offset, epsilon=epsilon, is_training=mean is None, **statistics
    )


def _biased(variance, flat):
    """Return the biased variance of flat features; the fused operation returns the unbiased one."""
    count = tf.cast(tf.shape(flat)[0], "float32")
    return variance * (tf.maximum(count - 1, 1) / count)
