"""Stencils on a coarser or finer grid: the Galerkin product, its inverse, and the same operators at another width.

Coarse pixels have twice the width of fine ones. R averages the 2^d fine pixels of a coarse one, and P = 2^d R^T copies
a coarse pixel to its fine ones. The Galerkin product R K P of a convolution K is again a convolution. On each axis, a
fine pixel 2 I + a, a = 0 or 1, sees through the entry s_j of a stencil the coarse pixel I + floor((a + j) / 2), so the
entry of the coarse stencil at m is the sum of s_j / 2 over all a and j with floor((a + j) / 2) = m.
"""

from __future__ import annotations

import functools
import numbers
from collections.abc import Callable

import numpy as np

from keras_pdecnn.operators.coefficients import _basis, _default_axes, _moments
from keras_pdecnn.utils import arguments


def coarsen(kernel, axes=None) -> np.ndarray:
    """Return the kernel of the Galerkin product R K P on pixels of twice the width.

    For three points it is [s_-1 / 2, s_0 + (s_-1 + s_1) / 2, s_1 / 2]. Operators of order 0 and 1 are kept exactly. The
    coefficient of a second derivative doubles, as P is constant on each coarse pixel.

    Args:
        kernel: Stencil (*space), kernel (*space, c, filters) or kernel of a block (steps, fields, *space, c, filters),
            with one or two space axes of odd length; coefficients of a time basis are weights like others.
        axes: Indices of the space axes, one to three, for an array of another shape; default None, the shapes above.

    Returns:
        float64 array of the shape of the kernel. An entry that the coarse kernel does not reach is 0.

    Raises:
        ValueError: If the array has other axes.

    Example:
        >>> coarsen([1.0, -2.0, 1.0]).tolist()
        [0.5, -1.0, 0.5]
    """
    return _along_axes(kernel, axes, _galerkin)


def refine(kernel, axes=None) -> np.ndarray:
    """Return the kernel on pixels of half the width whose Galerkin product is the kernel: the inverse of `coarsen`.

    Args:
        kernel: Stencil, kernel or kernel of a block, see `coarsen`, with space axes of length 1 or 3. The product of
            longer ones is shorter, and has no inverse.
        axes: Indices of the space axes, one to three; default None, see `coarsen`.

    Returns:
        float64 array of the shape of the kernel.

    Raises:
        ValueError: If the array has other axes.

    Example:
        >>> refine(coarsen([1.0, 5.0, -3.0])).round(6).tolist()
        [1.0, 5.0, -3.0]
    """
    return _along_axes(kernel, axes, lambda n: np.linalg.inv(_galerkin(n)), longest=3)


def rediscretize(kernel, mesh_width, new_mesh_width, axes=None) -> np.ndarray:
    """Return the kernel of the same differential operators, those of `coefficients`, at another mesh width.

    A second derivative on pixels of twice the width has a quarter of the entries.

    Args:
        kernel: Stencil, kernel or kernel of a block, see `coarsen`, with space axes of length 1 or 3.
        mesh_width: Mesh width of the kernel, a positive number.
        new_mesh_width: Mesh width of the result, a positive number.
        axes: Indices of the space axes, one to three; default None, see `coarsen`.

    Returns:
        float64 array of the shape of the kernel.

    Raises:
        ValueError: If the array has other axes, or a mesh width is not positive.

    Example:
        >>> rediscretize([1.0, -2.0, 1.0], 1.0, 2.0).tolist()
        [0.25, -0.5, 0.25]
    """
    h = arguments.check_positive("mesh_width", mesh_width)
    new = arguments.check_positive("new_mesh_width", new_mesh_width)
    return _along_axes(kernel, axes, lambda n: _basis(new) @ _moments(h) if n == 3 else np.eye(1), longest=3)


@functools.cache
def _galerkin(n: int) -> np.ndarray:
    """Return the matrix that takes a stencil of n points to its Galerkin product."""
    matrix, middle = np.zeros((n, n)), n // 2
    for j in range(-middle, middle + 1):
        for a in (0, 1):
            matrix[middle + (a + j) // 2, middle + j] += 0.5
    return matrix if n > 1 else np.eye(1)


def _along_axes(kernel, axes, matrix: Callable[[int], np.ndarray], longest: float = np.inf) -> np.ndarray:
    """Multiply an array by matrix(n) along every space axis, n its length."""
    try:
        array = np.asarray(kernel, np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"kernel must be an array of numbers. Received: {arguments.describe(kernel)}") from error
    axes = _default_axes("kernel", array) if axes is None else _checked(axes, array.ndim)
    if any(array.shape[axis] % 2 == 0 or array.shape[axis] > longest for axis in axes):
        lengths = "an odd length" if longest == np.inf else "length 1 or 3"
        raise ValueError(f"kernel must have {lengths} on its space axes {axes}. Received: shape {array.shape}")
    for axis in axes:
        array = np.moveaxis(np.tensordot(matrix(array.shape[axis]), array, axes=(1, axis)), 0, axis)
    return array


def _checked(axes, rank: int) -> tuple:
    """Return one to three different axes, counted from the front."""
    entries = tuple(axes) if isinstance(axes, tuple | list) else (axes,)
    valid = all(isinstance(axis, numbers.Integral) and -rank <= int(axis) < rank for axis in entries)
    positions = tuple(int(axis) % rank for axis in entries) if valid else ()
    if not 1 <= len(positions) <= 3 or len(set(positions)) < len(positions):
        raise ValueError(f"axes must be one to three different axes of an array with {rank}. Received: axes={axes!r}")
    return positions
