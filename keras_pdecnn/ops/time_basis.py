"""Bases for weights that are functions of time, theta(t) = sum_k phi_k(t) c_k, at the times where steps begin."""

from __future__ import annotations

import numpy as np
from keras import ops

from keras_pdecnn.ops import exact
from keras_pdecnn.utils import arguments

TIME_BASES = ("constant", "linear", "cosine")

SAMPLINGS = ("left", "midpoint")

INTERPOLATIONS = ("linear", "constant")


def matrix(basis: str, steps: int, size: int, sampling: str = "left") -> np.ndarray:
    """Return the values phi_k(t_j) of a basis on [0, T], T = N h, at the times t_j = j h at which the steps begin.

    With s = t / T, which is j / N at step j:

    * "constant": phi_k is 1 on the k-th of `size` equal intervals, [k / size, (k + 1) / size), and 0 elsewhere;
    * "linear": phi_k is the hat function of the k-th of `size` equidistant nodes, the first at 0, the last at T; for
      `size` 1 it is 1;
    * "cosine": phi_k = cos(pi k s).

    For `size` = N the matrix is invertible. The matrix of "linear" is then badly conditioned, as its last node is T,
    where no step begins: its condition number is 450 for N = 10, and about twice as large with each further step.

    Args:
        basis: Name of the basis, "constant", "linear" or "cosine".
        steps: Number N of steps.
        size: Number of functions phi_k.
        sampling: Times t_j, "left" (default) where the steps begin, or "midpoint", t_j = (j + 1/2) h.

    Returns:
        float64 array of shape (steps, size).

    Raises:
        ValueError: If an argument is outside its range.

    Example:
        >>> matrix("linear", steps=4, size=3).tolist()
        [[1.0, 0.0, 0.0], [0.5, 0.5, 0.0], [0.0, 1.0, 0.0], [0.0, 0.5, 0.5]]
    """
    arguments.check_choice("basis", basis, TIME_BASES)
    arguments.check_choice("sampling", sampling, SAMPLINGS)
    j = np.arange(arguments.check_positive_integer("steps", steps))[:, None]
    k = np.arange(arguments.check_positive_integer("size", size))
    if sampling == "midpoint":
        j, steps = 2 * j + 1, 2 * steps
    if basis == "constant":
        return (j * size // steps == k).astype(np.float64)
    if basis == "linear":
        return np.maximum(0.0, 1.0 - np.abs(j * (size - 1) / steps - k))
    return np.cos(np.pi * k * j / steps)


def unit(basis: str, size: int) -> np.ndarray:
    """Return the coefficients c_k of the function that is 1 at all times, a float64 array of shape (size,).

    Args:
        basis: Name of the basis, "constant", "linear" or "cosine".
        size: Number of functions phi_k.

    Raises:
        ValueError: If there is no basis of this name.

    Example:
        >>> unit("cosine", size=3).tolist()
        [1.0, 0.0, 0.0]
    """
    arguments.check_choice("basis", basis, TIME_BASES)
    return np.eye(size)[0] if basis == "cosine" else np.ones(size)


def interpolation(steps: int, new_steps: int, kind: str = "linear") -> np.ndarray:
    """Return the matrix that takes weights at the times j T / N, j = 0 … N - 1, to those at the times i T / N'.

    A new time that is an old one gets the old weights. So a number of steps that is doubled and halved again gives the
    weights of before. After the last old time, weights are constant.

    Args:
        steps: Number N of steps.
        new_steps: Number N' of new steps.
        kind: Interpolation between two old times, "linear" (default), or "constant", the weights of the earlier one.

    Returns:
        float64 array of shape (new_steps, steps).

    Raises:
        ValueError: If an argument is outside its range.

    Example:
        >>> interpolation(2, 4).tolist()
        [[1.0, 0.0], [0.5, 0.5], [0.0, 1.0], [0.0, 1.0]]
    """
    arguments.check_choice("interpolation", kind, INTERPOLATIONS)
    new_steps = arguments.check_positive_integer("new_steps", new_steps)
    j, rest = np.divmod(np.arange(new_steps) * arguments.check_positive_integer("steps", steps), new_steps)
    share = (rest / new_steps if kind == "linear" else 0 * rest)[:, None]
    unit = np.eye(steps)
    return (1 - share) * unit[j] + share * unit[np.minimum(j + 1, steps - 1)]


def combine(matrix: np.ndarray, coefficients):
    """Return theta(t_j) = sum_k matrix[j, k] c_k, of shape (steps, …) and the type of the coefficients.

    Args:
        matrix: Matrix of a basis as `time_basis.matrix` returns it, shape (steps, size).
        coefficients: Coefficients c_k, a tensor of shape (size, …).

    Example:
        >>> combine(np.array([[1.0, 0.0], [0.5, 0.5]]), [[2.0], [4.0]]).numpy().tolist()
        [[2.0], [3.0]]
    """
    coefficients = ops.convert_to_tensor(coefficients)
    return exact.tensordot(ops.convert_to_tensor(matrix, dtype=coefficients.dtype), coefficients, axes=1)
