"""A bound of the l2 norm of a convolution as a tensor with a gradient, cheap enough for every training step.

The symbol S(x) = sum_j s_j exp(i j x) of a kernel bounds the norm for both paddings and every size of image:

    ||K|| <= max over a grid of ||S|| / prod_i cos(r_i pi / N_i).

`ops.operator_norm` derives this bound and computes ||S|| from eigenvalues. This module bounds ||S|| by products of
matrices. G = S* S is Hermitian with the eigenvalues ||S||^2 >= … >= 0. Let H = G^(2^k), an n by n matrix, and let
m = tr H / n be the mean of its eigenvalues. Samuelson's inequality says

    ||S||^(2^(k+1)) = ||H|| <= m + sqrt((n - 1) / n) ||H - m I||_F.

A Hermitian matrix G = A + i B has a symmetric A and an antisymmetric B, so the real matrix A + B determines it and is
stored in its place. A product of two such matrices then takes two real products instead of four.
"""

from __future__ import annotations

import math

import numpy as np
from keras import backend, ops

from keras_pdecnn.ops import exact
from keras_pdecnn.ops.backend import primitives

TOLERANCE = 0.14
"""Largest excess of the bound that the grid may cause, relative to the norm: 9 points per axis for 3x3 kernels."""

SQUARINGS = 2
"""Number k of squarings. With 2, the bound exceeds ||S|| by a factor of up to n^(1 / 16), and by 5 % for random
matrices of 100 channels."""

_WRITTEN_OUT = 4  # More kernels than these are bounded one after the other, so that memory does not grow with depth.


def norm_bound(kernel, axes: int | None = None, tolerance: float = TOLERANCE, squarings: int = SQUARINGS):
    """Return an upper bound of the l2 norm of a convolution, as a tensor that can be differentiated.

    The bound holds for both paddings and every size of image, and accounts for all rounding errors. It works in a graph
    and under XLA. It is less tight than `stability.operator_norm`: about 15 % above the norm for random kernels of 100
    channels, and at most tolerance + n^(1 / 2^(squarings + 2)) - 1 above it for any kernel, where n is the smaller
    number of channels. Entries below the smallest normal number (1e-38 in float32) count as 0, as in every computation
    of the backend.

    Args:
        kernel: Kernel, or several kernels with leading axes, a tensor of shape (…, *kernel_size, c, filters).
        axes: Number of space axes; default None, for a single kernel without leading axes.
        tolerance: Largest relative error that the distance between the points of the grid may cause; default 0.14. A
            smaller one needs more points.
        squarings: Number of squarings of S* S, at least 0; default 2. More squarings give a tighter bound and take
            more time.

    Returns:
        Tensor of the shape of the leading axes, in float64 for a kernel of float64, otherwise in float32. For a kernel
        of zeros, the bound and its gradient are 0.

    Example:
        >>> float(norm_bound(keras.ops.ones((1, 1, 1, 1)))).__round__(3)
        1.0
    """
    kernel = ops.convert_to_tensor(kernel)
    kernel = kernel if backend.standardize_dtype(kernel.dtype) == "float64" else ops.cast(kernel, "float32")
    axes = len(kernel.shape) - 2 if axes is None else axes
    leading, single = kernel.shape[: -axes - 2], kernel.shape[-axes - 2 :]
    sizes = radii(single)
    points = grid(sizes, tolerance)
    # No value of S is needed twice: S(-x) is the conjugate of S(x).
    wave = waves(sizes, points, half(points))
    kernels = ops.reshape(kernel, (-1, math.prod(single[:-2]), *single[-2:]))
    if kernels.shape[0] <= _WRITTEN_OUT:
        largest = ops.stack([_largest(one[None], wave, squarings)[0] for one in ops.unstack(kernels)])
    else:
        largest = ops.map(lambda one: _largest(one[None], wave, squarings)[0], kernels)
    return ops.reshape(largest / between(sizes, points), leading)


def radii(kernel_shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return r, half the size of a kernel (*kernel_size, c, filters) on each axis."""
    return tuple(size // 2 for size in kernel_shape[:-2])


def grid(sizes: tuple[int, ...], tolerance: float) -> tuple[int, ...]:
    """Return the number N of points per axis with which `between` is at least 1 / (1 + tolerance)."""
    step = math.acos((1 + tolerance) ** (-1 / len(sizes)))
    return tuple(max(1, math.ceil(r * math.pi / step)) for r in sizes)


def between(sizes: tuple[int, ...], points: tuple[int, ...]) -> float:
    """Return prod_i cos(r_i pi / N_i): the largest ||S|| on the grid is at least this fraction of the norm."""
    return math.prod(math.cos(r * math.pi / n) for r, n in zip(sizes, points, strict=True))


def half(points: tuple[int, ...]) -> np.ndarray:
    """Return the indices k of the points x = 2 pi k / N of a grid, one of each pair x and -x: shape (number, axes)."""
    indices = np.indices(points).reshape(len(points), -1).T
    # In the flat order of the grid, a point is kept if it does not come after its opposite.
    opposite = np.ravel_multi_index(tuple((-indices % points).T), points)
    return indices[np.arange(len(indices)) <= opposite]


def waves(sizes: tuple[int, ...], points: tuple[int, ...], frequencies: np.ndarray) -> np.ndarray:
    """Return exp(i j x) for the points x = 2 pi k / N with the given k and the entries j of the stencil.

    The result has the shape (number of points, number of entries).
    """
    factors = np.ones((len(frequencies), 1), complex)
    for axis, (r, n) in enumerate(zip(sizes, points, strict=True)):
        # The product j k is reduced modulo N as an integer, so that no error comes in addition to that of the cosine.
        turns = np.outer(frequencies[:, axis], np.arange(-r, r + 1)) % n
        factor = np.exp(2j * math.pi / n * turns)
        factors = (factors[:, :, None] * factor[:, None, :]).reshape(len(frequencies), -1)
    return factors


def _largest(kernels, wave: np.ndarray, squarings: int):
    """Return bounds of the largest ||S|| over the frequencies, for kernels (count, entries, c, filters): (count,)."""
    count, entries, c, filters = kernels.shape
    n, inner = min(c, filters), max(c, filters)
    dtype = backend.standardize_dtype(kernels.dtype)
    unit = unit_roundoff(dtype)
    # With a norm of 1, powers neither overflow nor vanish. The quotient does not depend on the scale.
    size = ops.stop_gradient(ops.max(ops.abs(kernels), axis=(1, 2, 3)))
    scale = size[:, None, None, None]
    # A kernel of zeros is replaced, so that there are no quotients of zeros on the way to its gradient.
    kernels = exact.where(scale > 0, kernels / exact.where(scale > 0, scale, 1.0), 1.0)
    # S as matrices (inner, n), so that G is the smaller of the two Gram matrices: as [Re S; Im S], and turned such that
    # the product of both is Re G + Im G.
    stencils = ops.reshape(ops.swapaxes(kernels, 2, 3) if c <= filters else kernels, (count, entries, inner * n))
    first, second = (
        ops.reshape(exact.matmul(_interleave(a, b, dtype), stencils), (count, len(wave), 2 * inner, n))
        for a, b in ((wave.real, wave.imag), (wave.real + wave.imag, wave.imag - wave.real))
    )
    gram = exact.matmul(ops.swapaxes(first, 2, 3), second)
    # A sum of p products has an error of at most p unit (1 + …) times the sum of the absolute values. For the Gram
    # matrix, Frobenius norms bound these sums. Twice that covers products of rounded factors and the final sums.
    squared = ops.sum(ops.square(first), axis=(2, 3))
    largest = _norm(gram, squarings, 2 * (2 * n + 4) * unit) + 2 * (4 * inner + 4) * unit * squared
    # The symbol itself: a sum over the stencil.
    errors = ops.sum(exact.sqrt(ops.sum(ops.square(kernels), axis=(2, 3)) + _tiny(dtype)), axis=1)
    largest = exact.sqrt(ops.max(largest, axis=1)) + 2 * (entries + 4) * unit * errors
    return size * (1 + 64 * unit) * largest


def _norm(matrix, squarings: int, error: float):
    """Return bounds of the norms of Hermitian matrices held as A + B, (…, n, n): (…,).

    `error` bounds the rounding errors of the square of a matrix of Frobenius norm 1.
    """
    n = matrix.shape[-1]
    dtype = backend.standardize_dtype(matrix.dtype)
    squared = ops.sum(ops.square(matrix), axis=(-2, -1), keepdims=True) + _tiny(dtype)
    length = exact.sqrt(squared[..., 0, 0])
    if squarings == 0:
        mean = ops.trace(matrix, axis1=-2, axis2=-1) / n
        rest = ops.sum(ops.square(matrix - mean[..., None, None] * ops.eye(n, dtype=dtype)), axis=(-2, -1))
        # The error covers that of the mean, and keeps the root differentiable.
        return mean + error * length + math.sqrt((n - 1) / n) * exact.sqrt(rest + (error * length) ** 2)
    turned = ops.swapaxes(matrix, -1, -2)
    # (A + i B)^2 = A^2 - B^2 + i (A B + B A), and with M = A + B the sum of both parts is M A + M^T B. Divided by the
    # square of its length, the matrix can be squared again without overflow.
    half = 0.5 / squared
    square = exact.matmul(matrix, (matrix + turned) * half) + exact.matmul(turned, (matrix - turned) * half)
    return length * exact.sqrt(_norm(square, squarings - 1, error) + error)


def _interleave(first: np.ndarray, second: np.ndarray, dtype: str):
    """Return a matrix of the rows of two matrices in alternation."""
    return ops.convert_to_tensor(np.stack([first, second], axis=1).reshape(-1, first.shape[1]), dtype)


def unit_roundoff(dtype: str, products: bool = True) -> float:
    """Return the unit roundoff of a floating type: the largest relative error of one rounding.

    Args:
        dtype: Name of the type.
        products: Whether to return the roundoff of the factors in convolutions and matrix products, which devices may
            round more coarsely, instead of that of pointwise operations; default True.
    """
    if products and dtype == "float32":
        return primitives.float32_product_roundoff()
    return {"bfloat16": 2.0**-8, "float16": 2.0**-11, "float32": 2.0**-24, "float64": 2.0**-53}[dtype]


def _tiny(dtype: str) -> float:
    """Return a number that does not change 1 when added to it, and the square of whose inverse is finite."""
    return {"float32": 1e-18, "float64": 1e-100}[dtype]
