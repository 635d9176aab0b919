"""Accuracy of a classifier under noise, blur and attacks of several strengths."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable

import keras
import numpy as np
from numpy.typing import ArrayLike

from keras_pdecnn.stability.attacks import NORMS, attack
from keras_pdecnn.stability.certificates import certified_radius
from keras_pdecnn.stability.perturbations import blur, check_bounds, gaussian_noise, salt_and_pepper
from keras_pdecnn.utils import arguments

NOISE = (1 / 20, 1 / 10, 1 / 5)  # Standard deviations, as fractions of the range of the data.
SALT = (0.02, 0.05, 0.1)  # Fractions of the pixels.
BLUR = (0.5, 1.0, 1.5)  # Standard deviations in pixels.
EPSILON = {"l2": (1 / 8, 1 / 4, 1 / 2), "linf": (1 / 64, 1 / 32, 1 / 16)}  # As fractions of the range of the data.


@dataclasses.dataclass(frozen=True)
class Accuracy:
    """Accuracy under one change of the inputs.

    Attributes:
        change: Name of the change: "none", "Gaussian noise", "salt and pepper", "blur", or an attack with its norm,
            such as "random, l2", "FGSM, l2" and "PGD, linf". "any, l2" means every change of this l2 norm.
        strength: Strength of the change: the standard deviation of the noise or the epsilon of the attack in the units
            of the input, the fraction of the pixels, or the standard deviation of the blur in pixels.
        unit: Unit of `strength`: "raw", "of the pixels", "pixels", or "" for no change.
        of_range: Strength as a fraction of the range of the data; None if it is not in the units of the input.
        accuracy: Fraction of the examples that are classified rightly. For "any, l2", the fraction for which this is
            certified.
    """

    change: str
    strength: float
    unit: str
    of_range: float | None
    accuracy: float


def accuracies(
    model: keras.Model,
    x: ArrayLike,
    y: ArrayLike,
    norm: str = "l2",
    epsilons: Iterable[float] | None = None,
    bounds: tuple[float, float] = (0.0, 255.0),
    seed: int = 0,
    progress: Callable[[tuple[str, ...]], Iterable[str]] = iter,
    **settings,
) -> list[Accuracy]:
    """Return the accuracy of a classifier on unchanged inputs, under noise and blur, and under attacks.

    The attacks are the methods "random", "fgsm" and "pgd" of `attack`. "random" is noise of the same size as the other
    two, which shows how much the direction of an attack matters. For the norm "l2", and a network with Lipschitz
    bounds, the result includes the accuracy that `certified_radius` guarantees.

    Args:
        model: Classifier, see `attack`.
        x: Inputs within the bounds, shape (n, *space, channels).
        y: Right classes, integers of shape (n,).
        norm: Norm of the attacks, "l2" (default) or "linf".
        epsilons: Sizes of the attacks in the units of x; default None, 1/8, 1/4 and 1/2 of the range of the data for
            "l2", and 1/64, 1/32 and 1/16 of it for "linf".
        bounds: Range (low, high) of the data; default (0, 255).
        seed: Seed of noise and attacks; default 0.
        progress: Function from the methods to an iterable of them, such as a progress bar; default `iter`.
        **settings: Arguments steps, step_size, restarts and batch_size of `attack`.

    Returns:
        List of `Accuracy`.

    Raises:
        ValueError: As for `attack`.

    Example:
        >>> model = keras_pdecnn.models.ParabolicCNN((8, 8, 1), classes=10, widths=(4,))
        >>> rows = accuracies(model, np.full((2, 8, 8, 1), 99.0), [3, 7], epsilons=[5.0], steps=2)
        >>> rows[-2].change, rows[-1].change
        ('PGD, l2', 'any, l2')
    """
    low, high = map(float, check_bounds(bounds))
    span = high - low
    arguments.check_choice("norm", norm, NORMS)
    epsilons = [part * span for part in EPSILON[norm]] if epsilons is None else list(map(float, epsilons))
    if not epsilons or not all(math.isfinite(size) and size >= 0 for size in epsilons):
        raise ValueError(f"epsilons must be numbers of at least 0. Received: epsilons={arguments.describe(epsilons)}")
    x, y = np.asarray(x, np.float32), np.asarray(y)

    # One call for all sizes, as each call compiles the network again.
    count = len(epsilons)
    given = np.concatenate([x] * count), np.concatenate([y] * count), np.repeat(epsilons, len(x))
    attacked = {
        method: np.split(attack(model, *given, norm, method, bounds=bounds, seed=seed, **settings), count)
        for method in progress(("random", "fgsm", "pgd"))
    }

    def right(changed):
        return model.predict(changed, verbose=0).argmax(axis=-1) == y

    def accuracy(changed) -> float:
        return float(np.mean(right(changed)))

    known = right(x)
    rows = [Accuracy("none", 0.0, "", None, float(np.mean(known)))]
    for part in NOISE:
        changed = gaussian_noise(x, part * span, bounds, seed)
        rows.append(Accuracy("Gaussian noise", part * span, "raw", part, accuracy(changed)))
    for part in SALT:
        rows.append(
            Accuracy("salt and pepper", part, "of the pixels", None, accuracy(salt_and_pepper(x, part, bounds, seed)))
        )
    for deviation in BLUR:
        rows.append(Accuracy("blur", deviation, "pixels", None, accuracy(blur(x, deviation))))
    for method, name in (("random", "random"), ("fgsm", "FGSM"), ("pgd", "PGD")):
        for epsilon, changed in zip(epsilons, attacked[method], strict=True):
            rows.append(Accuracy(f"{name}, {norm}", epsilon, "raw", epsilon / span, accuracy(changed)))
    if norm == "l2" and (radius := _radii(model, x)) is not None:
        for epsilon in epsilons:
            certain = float(np.mean(known & (radius > epsilon)))
            rows.append(Accuracy("any, l2", epsilon, "raw", epsilon / span, certain))
    return rows


def _radii(model, x):
    """Return the certified radii of x, or None for a network without bounds; the attacks have checked the inputs."""
    try:
        return certified_radius(model, x)
    except ValueError:
        return None
