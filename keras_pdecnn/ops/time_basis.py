"""Bases of functions of time, theta(t) = sum_k phi_k(t) c_k on [0, T], sampled where the steps of a block begin."""

from __future__ import annotations

import numpy as np
from keras import ops

from keras_pdecnn.ops import exact
from keras_pdecnn.utils import arguments

TIME_BASES = ("constant", "linear", "cosine")


def matrix(basis: str, steps: int, size: int) -> np.ndarray:
    """Return the values phi_k(t_j) of a basis at the times t_j = j h, j = 0 … N-1, of [0, T] with T = N h.

    With s = t / T = j / N:

    * "constant": phi_k is 1 on the k-th of `size` equal intervals, [k / size, (k + 1) / size), and 0 elsewhere;
    * "linear": hat functions of `size` equidistant nodes, the first at 0, the last at T; of one node, 1;
    * "cosine": phi_k = cos(pi k s).

    With `size` = N the matrices are invertible. That of "linear" is badly conditioned then (450 for N = 10, about twice
    as much for each further step): its last node is T, where no step begins.

    Args:
        basis: "constant", "linear" or "cosine".
        steps: Number N of steps.
        size: Number of functions.

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
    """Return the coefficients of the function that is 1 at all times, shape (size,).

    Args:
        basis: "constant", "linear" or "cosine".
        size: Number of functions.

    Raises:
        ValueError: If there is no such basis.

    Example:
        >>> unit("cosine", size=3).tolist()
        [1.0, 0.0, 0.0]
    """
    arguments.check_choice("basis", basis, TIME_BASES)
    return np.eye(size)[0] if basis == "cosine" else np.ones(size)


def combine(matrix: np.ndarray, coefficients):
    """Return theta(t_j) = sum_k matrix[j, k] c_k, with time on axis 0 of both, in the type of the coefficients.

    Args:
        matrix: What `matrix` returns, shape (steps, size).
        coefficients: c_k, shape (size, …).

    Example:
        >>> combine(np.array([[1.0, 0.0], [0.5, 0.5]]), [[2.0], [4.0]]).numpy().tolist()
        [[2.0], [3.0]]
    """
    coefficients = ops.convert_to_tensor(coefficients)
    return exact.tensordot(ops.convert_to_tensor(matrix, dtype=coefficients.dtype), coefficients, axes=1)
