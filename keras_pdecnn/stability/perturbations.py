"""Changes of the input that do not depend on the network, noise and blur, in the units of the input."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike
from scipy import ndimage

from keras_pdecnn.data.checks import check_examples
from keras_pdecnn.utils import arguments


def gaussian_noise(
    x: ArrayLike, deviation: float, bounds: tuple[float, float] = (0.0, 255.0), seed: int = 0
) -> np.ndarray:
    """Return x with independent normal noise added to every entry, clipped to the bounds.

    Args:
        x: Inputs within the bounds, shape (n, *space, channels).
        deviation: Standard deviation of the noise in the units of x, before clipping.
        bounds: Range (low, high) of the data; default (0, 255).
        seed: Seed of the noise; default 0.

    Returns:
        float32 array of the shape of x.

    Raises:
        ValueError: If x has another shape, is not finite or is outside the bounds, or an argument is outside its range.

    Example:
        >>> gaussian_noise(np.full((2, 8, 8, 1), 99.0), deviation=10.0).shape
        (2, 8, 8, 1)
    """
    deviation = arguments.check_non_negative("deviation", deviation)
    low, high = check_bounds(bounds)
    x = check_within(check_examples(x, "x", dtype=np.float32), (low, high))
    noise = np.random.default_rng(seed).standard_normal(x.shape, np.float32)
    return np.clip(x + np.float32(deviation) * noise, low, high)


def salt_and_pepper(
    x: ArrayLike, fraction: float, bounds: tuple[float, float] = (0.0, 255.0), seed: int = 0
) -> np.ndarray:
    """Return x with some randomly chosen pixels set, in all channels, to the lower or to the upper bound.

    Args:
        x: Inputs within the bounds, shape (n, *space, channels).
        fraction: Probability that a pixel is replaced, from 0 to 1.
        bounds: Range (low, high) of the data; default (0, 255).
        seed: Seed of the random choice; default 0.

    Returns:
        float32 array of the shape of x.

    Raises:
        ValueError: As for `gaussian_noise`.

    Example:
        >>> float(salt_and_pepper(np.full((1, 8, 8, 1), 99.0), fraction=1.0).max())
        255.0
    """
    if arguments.check_non_negative("fraction", fraction) > 1:
        raise ValueError(f"fraction must be a number from 0 to 1. Received: fraction={arguments.describe(fraction)}")
    low, high = check_bounds(bounds)
    x = check_within(check_examples(x, "x", dtype=np.float32), (low, high))
    rng = np.random.default_rng(seed)
    pixels = (*x.shape[:-1], 1)
    replaced, salt = rng.random(pixels) < fraction, rng.random(pixels) < 0.5
    return np.where(replaced, np.where(salt, high, low), x).astype(np.float32)


def blur(x: ArrayLike, deviation: float) -> np.ndarray:
    """Return x blurred along its space axes by a Gaussian kernel; the outermost pixels are repeated outside the image.

    Averages lie between the smallest and the largest entry, so the result stays within the range of the data.

    Args:
        x: Inputs, shape (n, *space, channels).
        deviation: Standard deviation of the Gaussian kernel in pixels.

    Returns:
        float32 array of the shape of x.

    Raises:
        ValueError: As for `gaussian_noise`.

    Example:
        >>> float(blur(np.eye(9)[None, ..., None], deviation=1.0).max()) < 1
        True
    """
    deviation = arguments.check_non_negative("deviation", deviation)
    x = check_examples(x, "x", dtype=np.float32)
    return ndimage.gaussian_filter(x, deviation, mode="nearest", axes=range(1, x.ndim - 1))


def check_bounds(bounds: Sequence[float]) -> tuple[np.float32, np.float32]:
    """Return (low, high); raise ValueError unless these are two finite numbers, the smaller one first."""
    entries = tuple(bounds) if isinstance(bounds, tuple | list) else ()
    ordered = len(entries) == 2 and all(map(arguments.is_number, entries)) and entries[0] < entries[1]
    if not (ordered and np.isfinite(entries).all()):
        raise ValueError(
            f"bounds must be two numbers, the smaller one first. Received: bounds={arguments.describe(bounds)}"
        )
    return np.float32(entries[0]), np.float32(entries[1])


def check_within(x: np.ndarray, bounds: tuple[np.float32, np.float32]) -> np.ndarray:
    """Return x; raise ValueError if an entry is outside the bounds."""
    if x.min() < bounds[0] or x.max() > bounds[1]:
        raise ValueError(
            f"x must lie within bounds=({bounds[0]:g}, {bounds[1]:g}), the range of the data. "
            f"Received: x with entries from {x.min():g} to {x.max():g}"
        )
    return x
