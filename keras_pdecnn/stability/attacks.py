"""Attacks: small changes of the input, computed from the gradient, that make a classifier wrong."""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np
from keras import ops
from numpy.typing import ArrayLike

from keras_pdecnn.data.checks import check_examples
from keras_pdecnn.ops import exact
from keras_pdecnn.ops.backend import primitives
from keras_pdecnn.stability.logits import logits
from keras_pdecnn.stability.perturbations import check_bounds, check_within
from keras_pdecnn.utils import arguments

NORMS = ("l2", "linf")
METHODS = ("pgd", "margin", "fgsm", "random")
TINY = np.finfo(np.float32).tiny
EXTENT = 16.0
"""Difference of the largest and the smallest logit to which closer logits are enlarged for the gradient."""


def attack(
    model: keras.Model,
    x: ArrayLike,
    y: ArrayLike,
    epsilon: ArrayLike,
    norm: str = "l2",
    method: str = "pgd",
    steps: int = 40,
    step_size: float | None = None,
    restarts: int = 1,
    bounds: tuple[float, float] = (0.0, 255.0),
    seed: int = 0,
    batch_size: int = 128,
) -> np.ndarray:
    """Return inputs close to x that a classifier is more likely to get wrong.

    maximise m(x') = log sum_{j != y} exp s f_j(x') - s f_y(x')   over   ||x' - x|| <= epsilon,   low <= x' <= high

    f are the logits and y is the right class. With d the unit vector along the gradient of m (its signs, for "linf"),
    the methods are

    * "pgd", the projected gradient method: start at a random point of the ball, and take steps along d, each followed
      by a projection onto the ball and the bounds. The result is the best of x and all points of all restarts, the one
      with the largest max_{j != y} f_j - f_y;
    * "margin", the same along the gradient of max_{j != y} f_j - f_y itself, which certificates bound;
    * "fgsm", the fast gradient method: one step from x, x + epsilon d, clipped to the bounds;
    * "random", for comparison: a random point at the distance epsilon (for "linf" a random corner of the cube), clipped
      to the bounds.

    An example may withstand these attacks and still be vulnerable to others. So the accuracy under attack is an upper
    bound of the accuracy under the worst change.

    Why m: for s = 1 the cross-entropy is log(1 + exp m), so both have gradients of the same direction. But where the
    network is very sure, the gradient of the cross-entropy is 0 in float32 and that of m is not. If the logits are
    close together, that direction would lead to all other classes at once and reach none. So s >= 1 enlarges the logits
    until the largest exceeds the smallest by 16.

    Args:
        model: Classifier with softmax or logits, see `logits`. It is used in inference mode.
        x: Inputs in the units of the model's input, shape (n, *space, channels), within the bounds.
        y: Right classes, integers of shape (n,).
        epsilon: Radius of the ball in the units of x, one number or one per example.
        norm: Norm that measures changes, "l2" (default), the Euclidean norm over all entries of an example, or "linf",
            the largest absolute value.
        method: Name of the method, "pgd" (default), "margin", "fgsm" or "random".
        steps: Number of steps of "pgd" and "margin"; default 40.
        step_size: Length of a step of "pgd" and "margin" in the units of x; default None, 5 epsilon / steps.
        restarts: Number of random starts of "pgd" and "margin"; default 1.
        bounds: Range (low, high) of the data; default (0, 255).
        seed: Seed of "random" and of the random starts; default 0.
        batch_size: Number of examples that are evaluated at once; default 128.

    Returns:
        float32 array of the shape of x.

    Raises:
        ValueError: If an argument is outside its range, x is outside the bounds or not an input of the model, or y is
            not one class per example.

    Example:
        >>> model = keras_pdecnn.models.ParabolicCNN((8, 8, 1), classes=10, widths=(4,))
        >>> attack(model, np.full((2, 8, 8, 1), 99.0), [3, 7], epsilon=5.0, steps=2).shape
        (2, 8, 8, 1)
    """
    arguments.check_choice("norm", norm, NORMS)
    arguments.check_choice("method", method, METHODS)
    arguments.check_positive_integer("steps", steps)
    arguments.check_positive_integer("restarts", restarts)
    arguments.check_positive_integer("batch_size", batch_size)
    low, high = check_bounds(bounds)
    classifier = logits(model)
    x = check_within(check_examples(x, "x", classifier.input_shape[1:], np.float32), (low, high))
    labels = check_labels(y, len(x), classifier.output_shape[-1])
    radii = _check_radii(epsilon, len(x)).reshape(-1, *[1] * (x.ndim - 1))
    h = 5 * radii / steps if step_size is None else arguments.check_positive("step_size", step_size)
    rng = np.random.default_rng(seed)

    def project(points: np.ndarray) -> np.ndarray:
        # First to the bounds: x lies within them, so scaling towards x afterwards keeps a point within them.
        difference = np.clip(points, low, high) - np.float64(x)
        if norm == "linf":
            difference = np.clip(difference, -radii, radii)
        else:
            difference *= np.minimum(1, radii / np.maximum(lengths(difference), TINY))
        return _move(x, difference)

    if method == "random":
        return project(x + radii * unit(rng.standard_normal(x.shape, np.float32), norm))
    objective = _margin if method == "margin" else _smooth_margin
    evaluate = batched(_margin_and_gradient(classifier, objective), (labels,), batch_size)
    if method == "fgsm":
        return project(x + radii * unit(evaluate(x)[1], norm))
    best, largest = x.copy(), evaluate(x)[0]
    for _ in range(restarts):
        points = project(x + radii * _in_unit_ball(rng, x.shape, norm))
        for step in range(steps + 1):
            margin, gradient = evaluate(points)
            better = margin > largest
            best[better], largest[better] = points[better], margin[better]
            if step < steps:
                points = project(points + h * unit(gradient, norm))
    return best


def _margin(others, own):
    """Return max_{j != y} f_j - f_y, from all logits, where that of the right class is -inf, and that one."""
    return ops.max(others, axis=-1) - own


def _smooth_margin(others, own):
    """Return the function m of `attack`."""
    f = exact.where(ops.isfinite(others), others, own[:, None])
    extent = ops.max(f, axis=-1) - ops.min(f, axis=-1)
    s = ops.stop_gradient(exact.maximum(1.0, EXTENT / exact.maximum(extent, 1e-30)))
    return ops.logsumexp(others * s[:, None], axis=-1) - own * s


def _margin_and_gradient(classifier: keras.Model, objective: Callable) -> Callable:
    """Return a compiled function of (x, y): for each example, the margin and the gradient of the objective."""

    def logits_of(x):
        return ops.cast(classifier(x, training=False), "float32")

    def evaluate(x, y):
        right = ops.one_hot(y, classifier.output_shape[-1], dtype="bool")

        def without_right(f):
            """Return the logits of the other classes, and that of the right one."""
            return exact.where(right, -np.inf, f), ops.sum(exact.where(right, f, 0.0), axis=-1)

        f, to_x = primitives.vjp(logits_of, x)
        value, to_f = primitives.vjp(lambda f: objective(*without_right(f)), f)
        return _margin(*without_right(f)), to_x(to_f(ops.ones_like(value)))

    inputs = keras.KerasTensor((None, *classifier.input_shape[1:])), keras.KerasTensor((None,), "int32")
    return primitives.jit(evaluate, inputs)


def batched(function: Callable, others: tuple[np.ndarray, ...], batch_size: int) -> Callable:
    """Return a function of all x that evaluates function(x, *others) in batches, to a list of arrays."""

    def evaluate(x: np.ndarray) -> list[np.ndarray]:
        starts = range(0, len(x), batch_size)
        batches = ([array[i : i + batch_size] for array in (x, *others)] for i in starts)
        parts = [
            [ops.convert_to_numpy(value) for value in function(*map(ops.convert_to_tensor, batch))] for batch in batches
        ]
        return [np.concatenate(values) for values in zip(*parts, strict=True)]

    return evaluate


def _move(x: np.ndarray, difference: np.ndarray) -> np.ndarray:
    """Return x + difference in float32, rounded towards x, so that rounding does not lead out of the ball."""
    moved = np.float32(x + difference)
    too_far = np.abs(np.float64(moved) - x) > np.abs(difference)
    return np.where(too_far, np.nextafter(moved, x), moved)


def unit(direction: np.ndarray, norm: str) -> np.ndarray:
    """Return the vector of norm 1 with the largest dot product with a direction; for a direction of 0, return 0."""
    if norm == "linf":
        return np.sign(direction)
    # Divided by the largest entry first, as the squares of a small gradient would be 0.
    largest = np.max(np.abs(direction), axis=tuple(range(1, direction.ndim)), keepdims=True)
    direction = direction / np.maximum(largest, TINY)
    return direction / np.maximum(lengths(direction), TINY)


def _in_unit_ball(rng: np.random.Generator, shape: tuple[int, ...], norm: str) -> np.ndarray:
    """Return random points, uniformly distributed in the ball of radius 1."""
    if norm == "linf":
        return rng.uniform(-1, 1, shape).astype(np.float32)
    radius = rng.random((shape[0], *[1] * (len(shape) - 1))) ** (1 / np.prod(shape[1:]))
    return np.float32(radius) * unit(rng.standard_normal(shape, np.float32), norm)


def lengths(difference: np.ndarray) -> np.ndarray:
    """Return the Euclidean norm of each example."""
    return np.sqrt(np.sum(np.square(difference), axis=tuple(range(1, difference.ndim)), keepdims=True))


def check_labels(y: ArrayLike, count: int, classes: int) -> np.ndarray:
    labels = np.asarray(y)
    if labels.shape != (count,) or labels.dtype.kind not in "ui":
        raise ValueError(
            f"y must be {count} integers, the classes of x. Received: y of shape {labels.shape} and type {labels.dtype}"
        )
    if labels.min() < 0 or labels.max() >= classes:
        raise ValueError(f"y must be in 0..{classes - 1}. Received: y from {labels.min()} to {labels.max()}")
    return labels.astype(np.int32)


def _check_radii(epsilon: ArrayLike, count: int) -> np.ndarray:
    try:
        radii = np.broadcast_to(np.asarray(epsilon, np.float64), (count,))
    except (TypeError, ValueError):
        radii = np.array([np.nan])
    if not (np.isfinite(radii).all() and (radii >= 0).all()):
        raise ValueError(
            "epsilon must be at least 0, one number or one per example. "
            f"Received: epsilon={arguments.describe(epsilon)}"
        )
    return radii
