"""Which parts of an example speak for a class: input gradients, SmoothGrad and class-activation maps.

What is explained is the logit, the number before the softmax: a probability also changes because other classes do.
"""

from __future__ import annotations

import math

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from keras_pdecnn import arguments, layers
from keras_pdecnn.explain.inputs import check_input
from keras_pdecnn.layers.plain import plain_operations
from keras_pdecnn.model import PDEModel


class LogitModel:
    """A network cut before its head: feature maps, their average over space, and the dense classifier without softmax.

    logit_k(x) = sum_c W_ck mean_p f_c(x)_p + b_k

    The weights are shared with the network, not copied.

    Args:
        model: A network of `models`, built with `include_top=True`.

    Raises:
        ValueError: If the network does not end with the average over space and a dense layer.

    Example:
        >>> network = keras_pdecnn.models.ParabolicCNN((8, 8, 1), classes=2, widths=(4,), steps=3)
        >>> LogitModel(network)(np.zeros((5, 8, 8, 1), "float32")).shape
        TensorShape([5, 2])
    """

    def __init__(self, model: PDEModel):
        *_, average, classifier = [None, *model.layers]
        if not (isinstance(classifier, keras.layers.Dense) and "GlobalAveragePooling" in type(average).__name__):
            raise ValueError(
                "What speaks for a class is asked of a network with include_top=True, which ends with an average and "
                f"a dense layer. Received: {model.name} with the last layer {model.layers[-1].name!r}"
            )
        self.model = model
        self.classifier = classifier
        self._features = keras.Model(model.input, average.input)

    def features(self, x):
        """Return the feature maps f, shape (n, *space, channels), in the type of the classifier's weights."""
        return ops.cast(self._features(x, training=False), self.classifier.variable_dtype)

    def __call__(self, x):
        """Return the logits, shape (n, classes)."""
        f = self.features(x)
        logits = ops.matmul(ops.mean(f, axis=tuple(range(1, len(f.shape) - 1))), self.classifier.kernel)
        return logits if self.classifier.bias is None else logits + self.classifier.bias


def saliency(model: PDEModel, x, classes) -> np.ndarray:
    """Return the gradient of the logit of a class with respect to the input.

    Args:
        model: A network of `models`, built with `include_top=True`.
        x: Raw examples, shape (n, *space, channels).
        classes: The class of each example, shape (n,), or one for all.

    Returns:
        d logit / d x, of the shape of x: the change of the logit for a change of one raw value.

    Raises:
        ValueError: If the network has no head, or x or the classes are not what it takes.

    Example:
        >>> network = keras_pdecnn.models.ParabolicCNN((8, 8, 1), classes=2, widths=(4,))
        >>> saliency(network, keras.random.normal((5, 8, 8, 1)), classes=1).shape
        (5, 8, 8, 1)
    """
    logits, x, classes = _read(model, x, classes)
    return _gradient(logits, x, classes)


def smooth_grad(model: PDEModel, x, classes, samples: int = 32, noise: float = 0.1, seed: int = 0) -> np.ndarray:
    """Return the mean of the gradients at noisy copies of the input (SmoothGrad, Smilkov et al. 2017).

    mean_i d logit / d x (x + noise * (max x - min x) * n_i),   n_i standard normal

    Args:
        model: As for `saliency`.
        x: As for `saliency`.
        classes: As for `saliency`.
        samples: Number of noisy copies; default 32.
        noise: Deviation of the noise relative to the range of the example; not negative, default 0.1.
        seed: Determines the noise; default 0.

    Returns:
        Array of the shape of x.

    Raises:
        ValueError: As for `saliency`, or if samples or noise are outside their range.

    Example:
        >>> network = keras_pdecnn.models.ParabolicCNN((8, 8, 1), classes=2, widths=(4,), steps=3)
        >>> smooth_grad(network, keras.random.normal((5, 8, 8, 1)), classes=1, samples=4).shape
        (5, 8, 8, 1)
    """
    arguments.check_positive_integer("samples", samples)
    arguments.check_non_negative("noise", noise)
    logits, x, classes = _read(model, x, classes)
    rng = np.random.default_rng(seed)
    means = []
    for example, label in zip(x, classes, strict=True):
        deviation = noise * (example.max() - example.min())
        noisy = example + deviation * rng.normal(size=(samples, *example.shape))
        means.append(_gradient(logits, noisy.astype(x.dtype), np.repeat(label, samples)).mean(axis=0))
    return np.stack(means)


def class_activation(model: PDEModel, x, classes) -> np.ndarray:
    """Return the class-activation map: the share that each place of the last features has in a logit.

    m_p = sum_c W_ck f_c(x)_p / P,   P the number of places, so that sum_p m_p + b_k = logit_k, exactly

    The networks end with an average and a dense layer, for which Grad-CAM without its ReLU is this map.

    Args:
        model: As for `saliency`.
        x: As for `saliency`.
        classes: As for `saliency`.

    Returns:
        Array of shape (n, *space of the last features): coarser than x by the pooling of the connectors.

    Raises:
        ValueError: As for `saliency`.

    Example:
        >>> network = keras_pdecnn.models.ParabolicCNN((8, 8, 1), classes=2, widths=(4,), steps=3)
        >>> class_activation(network, keras.random.normal((5, 8, 8, 1)), classes=1).shape
        (5, 8, 8)
    """
    logits, x, classes = _read(model, x, classes)
    f = ops.convert_to_numpy(logits.features(x))
    weights = ops.convert_to_numpy(logits.classifier.kernel)[:, classes].T
    return np.einsum("n...c,nc->n...", f, weights) / math.prod(f.shape[1:-1])


def pooled_by(model: PDEModel) -> int:
    """Return how many pixels along an axis one place of the last features stands for."""
    return math.prod(layer.pool_size for layer in model.layers if isinstance(layer, layers.Connector))


def _read(model, x, classes) -> tuple[LogitModel, np.ndarray, np.ndarray]:
    logits, x = LogitModel(model), check_input(model, x)
    count = logits.classifier.units
    given = np.asarray(classes)
    valid = given.shape in ((), (len(x),)) and np.issubdtype(given.dtype, np.integer)
    if not valid or np.any((given < 0) | (given >= count)):
        raise ValueError(
            f"classes must be one integer, or one per example ({len(x)}), at least 0 and below {count}. "
            f"Received: classes={classes!r}"
        )
    return logits, x, np.broadcast_to(given, (len(x),))


def _gradient(logits: LogitModel, x: np.ndarray, classes: np.ndarray) -> np.ndarray:
    x = tf.convert_to_tensor(x)
    # The gradients written by hand save memory in training; taken eagerly, each of them would be compiled anew.
    with plain_operations(logits.model), tf.GradientTape() as tape:
        tape.watch(x)
        # The logit of an example depends on that example alone, so the gradient of the sum is that of each.
        wanted = tf.reduce_sum(tf.gather(logits(x), classes, axis=1, batch_dims=1))
    return tape.gradient(wanted, x).numpy()
