"""The parts of an example that speak for a class: input gradients, SmoothGrad and class-activation maps.

They explain the logit, the number before the softmax. A probability also changes when the logits of other classes do.
"""

from __future__ import annotations

import math

import keras
import numpy as np
from keras import ops
from numpy.typing import ArrayLike

from keras_pdecnn import layers
from keras_pdecnn.data.checks import check_examples
from keras_pdecnn.layers.graph import Graph
from keras_pdecnn.layers.plain import plain_operations
from keras_pdecnn.models.model import PDEModel
from keras_pdecnn.ops.backend import primitives
from keras_pdecnn.stability.logits import logits
from keras_pdecnn.utils import arguments


def saliency(model: keras.Model, x: ArrayLike, classes: ArrayLike) -> np.ndarray:
    """Return the gradient of the logit of a class with respect to the input.

    Args:
        model: A classifier with softmax or logits, see `stability.logits`.
        x: Raw examples of shape (n, *space, channels).
        classes: Class of each example, shape (n,), or one class for all.

    Returns:
        The derivatives d logit / d x, of the shape of x.

    Raises:
        ValueError: If the model is no classifier, or it does not take x or does not have the classes.

    Example:
        >>> network = keras_pdecnn.models.ParabolicCNN((8, 8, 1), classes=2, widths=(4,))
        >>> saliency(network, keras.random.normal((5, 8, 8, 1)), classes=1).shape
        (5, 8, 8, 1)
    """
    classifier = logits(model)
    return _gradient(classifier, *_read(classifier, x, classes))


def smooth_grad(
    model: keras.Model, x: ArrayLike, classes: ArrayLike, samples: int = 32, noise: float = 0.1, seed: int = 0
) -> np.ndarray:
    """Return the mean of the gradients at noisy copies of the input (SmoothGrad, Smilkov et al. 2017).

    mean_i d logit / d x (x + noise * (max x - min x) * n_i),   n_i standard normal

    Args:
        model: As for `saliency`.
        x: As for `saliency`.
        classes: As for `saliency`.
        samples: Number of noisy copies; default 32.
        noise: Standard deviation of the noise relative to the range of the example; not negative, default 0.1.
        seed: Seed of the noise; default 0.

    Returns:
        Array of the shape of x.

    Raises:
        ValueError: As for `saliency`, or if `samples` or `noise` is outside its range.

    Example:
        >>> network = keras_pdecnn.models.ParabolicCNN((8, 8, 1), classes=2, widths=(4,), steps=3)
        >>> smooth_grad(network, keras.random.normal((5, 8, 8, 1)), classes=1, samples=4).shape
        (5, 8, 8, 1)
    """
    arguments.check_positive_integer("samples", samples)
    arguments.check_non_negative("noise", noise)
    classifier = logits(model)
    examples, labels = _read(classifier, x, classes)
    rng = np.random.default_rng(seed)
    means = []
    for example, label in zip(examples, labels, strict=True):
        deviation = noise * (example.max() - example.min())
        noisy = example + deviation * rng.normal(size=(samples, *example.shape))
        means.append(_gradient(classifier, noisy.astype(examples.dtype), np.repeat(label, samples)).mean(axis=0))
    return np.stack(means)


def class_activation(model: PDEModel, x: ArrayLike, classes: ArrayLike) -> np.ndarray:
    """Return the class-activation map: the contribution of each place of the last features to a logit.

    m_p = sum_c W_ck f_c(x)_p / P,   P the number of places, so that sum_p m_p + b_k = logit_k exactly

    The networks end with an average and a dense layer, so Grad-CAM without its ReLU gives the same map.

    Args:
        model: A network of `models`, built with `include_top=True` and without `provable`.
        x: As for `saliency`.
        classes: As for `saliency`.

    Returns:
        Array of shape (n, *space of the last features). It is coarser than x by the pooling of the connectors.

    Raises:
        ValueError: As for `saliency`, or if the network does not end with the average over space and a dense layer.

    Example:
        >>> network = keras_pdecnn.models.ParabolicCNN((8, 8, 1), classes=2, widths=(4,), steps=3)
        >>> class_activation(network, keras.random.normal((5, 8, 8, 1)), classes=1).shape
        (5, 8, 8)
    """
    average, dense = pooled_head(model)
    examples, labels = _read(model, x, classes)
    features = keras.Model(model.input, average.input)(examples, training=False)
    f = ops.convert_to_numpy(ops.cast(features, dense.variable_dtype))
    weights = ops.convert_to_numpy(dense.kernel)[:, labels].T
    return np.einsum("n...c,nc->n...", f, weights) / math.prod(f.shape[1:-1])


def pooled_by(model: PDEModel) -> tuple[int, ...]:
    """Return how many pixels one place of the last features stands for along each space axis of the input."""
    pixels = [1] * (len(model.input_shape) - 2)
    for layer in (call.layer for call in Graph(model).calls):
        if isinstance(layer, keras.layers.STFTSpectrogram):
            shrunk: tuple[int, ...] = (layer.frame_step,)
        elif isinstance(layer, layers.Connector):
            shrunk = layer.shrinks_by()
        else:
            continue
        # The features of a spectrogram have an axis of frequencies behind those of the input.
        pixels = [n * factor for n, factor in zip(pixels, shrunk, strict=False)]
    return tuple(pixels)


def pooled_head(model: keras.Model) -> tuple[keras.layers.Layer, keras.layers.Dense]:
    """Return the last two layers of a network: the average over space and the dense layer.

    Raises:
        ValueError: If the network ends with other layers.
    """
    last = [layer for layer in model.layers if not isinstance(layer, keras.layers.Dropout)][-2:]
    if not (isinstance(last[-1], keras.layers.Dense) and "GlobalAveragePooling" in type(last[0]).__name__):
        raise ValueError(
            "A class-activation map needs a network with include_top=True, which ends with an average and a dense "
            f"layer. Received: {model.name} with the last layer {last[-1].name!r}"
        )
    return last[0], last[1]


def _read(model: keras.Model, x: ArrayLike, classes: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Check examples and their classes for a model with one output per class, and return both as arrays."""
    x = check_examples(x, "x", model.input_shape[1:], model.input.dtype)
    count = model.output_shape[-1]
    given = np.asarray(classes)
    valid = given.shape in ((), (len(x),)) and np.issubdtype(given.dtype, np.integer)
    if not valid or np.any((given < 0) | (given >= count)):
        raise ValueError(
            f"classes must be one integer, or one per example ({len(x)}), at least 0 and below {count}. "
            f"Received: classes={arguments.describe(classes)}"
        )
    return x, np.broadcast_to(given, (len(x),))


def _gradient(classifier: keras.Model, x: np.ndarray, classes: np.ndarray) -> np.ndarray:
    # The gradients of the blocks save memory in training. Taken eagerly, each of them would be compiled again.
    with plain_operations(classifier):
        outputs, pull_back = primitives.vjp(lambda x: classifier(x, training=False), ops.convert_to_tensor(x))
        # The logit of an example depends on that example alone, so the gradient of their sum has that of each logit.
        gradient = pull_back(ops.one_hot(ops.convert_to_tensor(classes), outputs.shape[-1], dtype=outputs.dtype))
    return ops.convert_to_numpy(gradient)
