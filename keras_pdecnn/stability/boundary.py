"""A walk along the decision boundary of a classifier, towards the nearest input of another class."""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np
from keras import ops
from numpy.typing import ArrayLike

from keras_pdecnn.data.checks import check_examples
from keras_pdecnn.ops.backend import primitives
from keras_pdecnn.stability.attacks import batched, check_labels, lengths, unit
from keras_pdecnn.stability.logits import logits
from keras_pdecnn.stability.perturbations import check_bounds, check_within
from keras_pdecnn.utils import arguments

COARSE, FINE = 6, 20
"""Numbers of bisections in each step of the walk, and at its end."""


def boundary_attack(
    model: keras.Model,
    x: ArrayLike,
    y: ArrayLike,
    images: ArrayLike | None = None,
    steps: int = 20,
    restarts: int = 3,
    bounds: tuple[float, float] | None = (0.0, 255.0),
    batch_size: int = 128,
) -> np.ndarray:
    """Return inputs of another class that are as close to x as a walk along the decision boundary finds.

    minimise ||x' - x||   over   f_t(x') > f_y(x'),   low <= x' <= high

    f are the logits, y is the class of x, and t that of the image from which a walk starts. The walk

    * starts at an image of class t, and bisects the line between it and x to find the boundary;
    * turns the direction from x to x' towards the gradient of f_t - f_y at x', at the same distance from x, and bisects
      again if the new point has f_t > f_y; otherwise it halves the turn.

    So the distance never grows. Where f_t - f_y is linear, the walk ends at the nearest point. Unlike `attack`, it
    needs no radius, and finds its way where gradients at x lead nowhere. The idea of a walk from an image of another
    class is that of Brendel, Rauber and Bethge 2018 (Boundary Attack).

    Args:
        model: Classifier with softmax or logits, see `logits`. It is used in inference mode.
        x: Inputs in the units of the model's input, shape (n, *space, channels), within the bounds.
        y: Classes of x, integers of shape (n,): the right ones, or those that the model predicts.
        images: Images from which walks start, shape (m, *space, channels); default None, the inputs x.
        steps: Number of steps of a walk; default 20.
        restarts: Number of walks for each input, from the nearest image of each other class, the nearest class first;
            default 3.
        bounds: Range (low, high) of the data; default (0, 255), None for no bounds.
        batch_size: Number of examples that are evaluated at once; default 128.

    Returns:
        float32 array of the shape of x: the nearest points of all walks. Inputs that the model does not assign to y are
        returned as they are.

    Raises:
        ValueError: If an argument is outside its range, x is not an input of the model, y is not one class per example,
            or the model gives all images the class y.

    Example:
        >>> layers = [keras.Input((1, 1)), keras.layers.Flatten(), keras.layers.Dense(2, kernel_initializer="ones")]
        >>> model = keras.Sequential(layers)
        >>> model.set_weights([np.array([[0.0, 1.0]]), np.array([0.0, -8.0])])  # class 1 is x > 8
        >>> np.round(boundary_attack(model, [[[5.0]]], [0], images=[[[50.0]]]), 3).tolist()
        [[[8.0]]]
    """
    arguments.check_positive_integer("steps", steps)
    arguments.check_positive_integer("restarts", restarts)
    arguments.check_positive_integer("batch_size", batch_size)
    classifier = logits(model)
    x = check_examples(x, "x", classifier.input_shape[1:], np.float32)
    images = x if images is None else check_examples(images, "images", classifier.input_shape[1:], np.float32)
    labels = check_labels(y, len(x), classifier.output_shape[-1])
    limits = (np.float32(-np.inf), np.float32(np.inf)) if bounds is None else check_bounds(bounds)
    for points in (x, images):
        check_within(points, limits)
    starts, targets = _starts(classifier, x, labels, images, restarts, batch_size)
    best, shortest = x.copy(), np.full(len(x), np.inf)
    known = classifier.predict(x, batch_size=batch_size, verbose=0).argmax(axis=-1) == labels
    value, value_and_gradient = _difference(classifier, True), _difference(classifier, False)
    for start, target in zip(starts, targets, strict=True):
        classes = labels, target
        walk = Walk(x, batched(value, classes, batch_size), batched(value_and_gradient, classes, batch_size), limits)
        nearest = walk(start, steps)
        distances = lengths(nearest.astype(np.float64) - x).ravel()
        better = known & (distances < shortest)
        best[better], shortest[better] = nearest[better], distances[better]
    return best


class Walk:
    """Walks along the boundary of f > 0, towards x, of all examples at once.

    Args:
        x: Inputs, which need not have f < 0.
        value: Function of all points that returns a list with f.
        value_and_gradient: Function of all points that returns f and its gradients.
        limits: Smallest and largest entry of a point.
    """

    def __init__(self, x: np.ndarray, value: Callable, value_and_gradient: Callable, limits: tuple):
        self.x, self.value, self.value_and_gradient, self.limits = x, value, value_and_gradient, limits

    def __call__(self, start: np.ndarray, steps: int) -> np.ndarray:
        """Return the last points of walks that begin at points with f > 0."""
        points, turn = self.bisect(start, COARSE), np.ones((len(start), *[1] * (start.ndim - 1)))
        for _ in range(steps):
            difference = points.astype(np.float64) - self.x
            direction = unit(difference, "l2")
            uphill = unit(self.value_and_gradient(points)[1].astype(np.float64), "l2")
            turned = unit(direction + turn * (uphill - direction), "l2")
            moved = np.clip((self.x + lengths(difference) * turned).astype(np.float32), *self.limits)
            inside = self.is_inside(moved)
            points = np.where(inside, self.bisect(np.where(inside, moved, points), COARSE), points)
            turn = np.where(inside, np.minimum(1, 2 * turn), turn / 2)
        return self.bisect(points, FINE)

    def is_inside(self, points: np.ndarray) -> np.ndarray:
        """Return whether f > 0, with axes of length 1 for those of an example."""
        return (self.value(points)[0] > 0).reshape(-1, *[1] * (points.ndim - 1))

    def bisect(self, points: np.ndarray, count: int) -> np.ndarray:
        """Return points with f > 0 on the lines from x to points with f > 0, close to the boundary."""
        step, part = 0.5, np.ones((len(points), *[1] * (points.ndim - 1)))
        difference = points.astype(np.float64) - self.x
        for _ in range(count):
            nearer = (self.x + (part - step) * difference).astype(np.float32)
            inside = self.is_inside(nearer)
            points, part = np.where(inside, nearer, points), np.where(inside, part - step, part)
            step /= 2
        return points


def _difference(classifier: keras.Model, plain: bool) -> Callable:
    """Return a compiled function of (x, y, t) whose results are f_t - f_y and, unless it is plain, the gradient."""
    classes = classifier.output_shape[-1]

    def evaluate(x, y, t):
        weights = ops.one_hot(t, classes) - ops.one_hot(y, classes)

        def difference(x):
            return ops.sum(weights * ops.cast(classifier(x, training=False), "float32"), axis=-1)

        if plain:
            return [difference(x)]
        value, pull_back = primitives.vjp(difference, x)
        return value, pull_back(ops.ones_like(value))

    label = keras.KerasTensor((None,), "int32")
    return primitives.jit(evaluate, (keras.KerasTensor((None, *classifier.input_shape[1:])), label, label))


def _starts(classifier, x, labels, images, restarts, batch_size) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Return the images from which the walks start, and their classes: for each input the nearest of every class."""
    classes = classifier.predict(images, batch_size=batch_size, verbose=0).argmax(axis=-1).astype(np.int32)
    flat, others = np.float64(x).reshape(len(x), -1), np.float64(images).reshape(len(images), -1)
    squares = np.sum(others**2, axis=1) - 2 * flat @ others.T  # squared distances, up to a number for each input
    squares[labels[:, None] == classes] = np.inf
    kinds = np.unique(classes)
    nearest = np.stack([np.where(classes == kind, squares, np.inf).argmin(axis=1) for kind in kinds], axis=1)
    smallest = np.take_along_axis(squares, nearest, axis=1)
    if not np.isfinite(smallest.min(axis=1)).all():
        raise ValueError(
            "images must have examples to which the model gives another class than y. "
            f"Received: images of the classes {kinds.tolist()}"
        )
    order = np.argsort(smallest, axis=1)
    last = np.isfinite(smallest).sum(axis=1) - 1
    rows = np.arange(len(x))
    chosen = [nearest[rows, order[rows, np.minimum(number, last)]] for number in range(min(restarts, last.max() + 1))]
    return [images[index] for index in chosen], [classes[index] for index in chosen]
