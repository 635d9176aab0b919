"""Bases for weights that are functions of time, theta(t) = sum_k phi_k(t) c_k, at the times where steps begin."""

from __future__ import annotations

import numpy as np
from keras import ops

from keras_pdecnn.ops import exact
from keras_pdecnn.utils import arguments

TIME_BASES = ("constant", "linear", "cosine")


def matrix(basis: str, steps: int, size: int) -> np.ndarray:
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

    Returns:
        float64 array of shape (steps, size).

    Raises:
        ValueError: If an argument is outside its range.

    Example:
        >>> matrix("linear", steps=4, size=3).tolist()
        [[1.0, 0.0, 0.0], [0.5, 0.5, 0.0], [0.0, 1.0, 0.0], [0.0, 0.5, 0.5]]
    """
    arguments.check_choice("basis", basis, TIME_BASES)
    j = np.arange(arguments.check_positive_integer("steps", steps))[:, None]
    k = np.arange(arguments.check_positive_integer("size", size))
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
