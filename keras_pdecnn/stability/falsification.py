"""Attacks on certificates: a search for an input of another class within a certified radius."""

from __future__ import annotations

import keras
import numpy as np
from numpy.typing import ArrayLike

from keras_pdecnn.data.checks import check_examples
from keras_pdecnn.stability.attacks import attack, lengths
from keras_pdecnn.stability.boundary import boundary_attack
from keras_pdecnn.stability.certificates import certified_radius
from keras_pdecnn.stability.logits import logits


def smallest_perturbation(
    model: keras.Model,
    x: ArrayLike,
    radius: ArrayLike | None = None,
    images: ArrayLike | None = None,
    steps: int = 40,
    restarts: int = 3,
    seed: int = 0,
    batch_size: int = 128,
) -> np.ndarray:
    """Return for each example the length of the smallest change found that changes the predicted class.

    A result below the certified radius would refute the certificate. Far above it, certificate or attack is weak. The
    attacks are

    * the method "margin" of `attack`, at exactly the radius of each example, from random starts;
    * `boundary_attack`, which does not use the radius.

    Neither stays within a range of the data, as certificates hold for every change.

    Args:
        model: Classifier, see `attack`.
        x: Examples in the units of the model's input, shape (n, *space, channels).
        radius: Radii in the units of x, one number or one per example; default None, those of `certified_radius`.
        images: Images from which `boundary_attack` starts; default None, the examples x.
        steps: Number of steps of both attacks; default 40.
        restarts: Number of random starts, and of images of other classes from which walks start; default 3.
        seed: Seed of the random starts; default 0.
        batch_size: Number of examples that are evaluated at once; default 128.

    Returns:
        float64 array of shape (n,).

    Raises:
        ValueError: If a radius is negative or infinite, or as for `certified_radius` and `boundary_attack`.

    Example:
        >>> model = keras_pdecnn.models.ParabolicCNN((8, 8, 1), classes=3, widths=(4,), provable=True)
        >>> x = np.random.default_rng(0).uniform(0, 255, (40, 8, 8, 1)).astype("float32")
        >>> found = smallest_perturbation(model, x, steps=2, restarts=1)
        >>> bool(np.all(found > certified_radius(model, x)))
        True
    """
    classifier = logits(model)
    x = check_examples(x, "x", classifier.input_shape[1:], np.float32)
    radii = np.broadcast_to(certified_radius(model, x, batch_size) if radius is None else radius, (len(x),))

    def predicted(points: np.ndarray) -> np.ndarray:
        return classifier.predict(points, batch_size=batch_size, verbose=0).argmax(axis=-1)

    y = predicted(x)
    largest = float(np.max(radii))
    bounds = float(x.min()) - largest - 1, float(x.max()) + largest + 1  # farther than any point of a ball
    attacked = attack(
        model, x, y, radii, "l2", "margin", steps, None, restarts, bounds=bounds, seed=seed, batch_size=batch_size
    )
    walked = boundary_attack(model, x, y, images, steps, restarts, bounds=None, batch_size=batch_size)
    sizes = [
        np.where(predicted(points) != y, lengths(np.float64(points) - x).ravel(), np.inf)
        for points in (attacked, walked)
    ]
    return np.minimum(*sizes)
