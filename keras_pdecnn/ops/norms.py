"""A bound of the l2 norm of a convolution as a tensor, cheap enough for every training step, with a gradient.

The symbol S(x) = sum_j s_j exp(i j x) of a kernel bounds the norm for either padding and every size of image:

    ||K|| <= max over a grid of ||S|| / prod_i cos(r_i pi / N_i),

which `ops.operator_norm` derives. It takes ||S|| from eigenvalues; here it is bounded by products of matrices. G = S* S
is Hermitian with the eigenvalues ||S||^2 >= … >= 0, and for H = G^(2^k), n by n, with the mean m = tr H / n of its
eigenvalues (Samuelson's inequality),

    ||S||^(2^(k+1)) = ||H|| <= m + sqrt((n - 1) / n) ||H - m I||_F.

A Hermitian G = A + i B, A symmetric and B antisymmetric, is held as the real matrix A + B, which determines it. So a
product takes two real ones in place of four.
"""

from __future__ import annotations

import math

import numpy as np
from keras import backend, ops

from keras_pdecnn.ops import exact
from keras_pdecnn.ops.backend import primitives

TOLERANCE = 0.14
"""What the grid may add to the bound, relative to the norm: 9 points per axis for 3x3 kernels."""

SQUARINGS = 2
"""k: the bound of ||S|| exceeds it by up to n^(1 / 16), by 5 % for random matrices of 100 channels."""

_WRITTEN_OUT = 4  # kernels: more are bounded one after the other, so that memory does not grow with depth


def norm_bound(kernel, axes: int | None = None, tolerance: float = TOLERANCE, squarings: int = SQUARINGS):
    """Return an upper bound of the l2 norm of a convolution, for either padding and every size of image.

    It holds with all rounding accounted for, and can be differentiated; it works in a graph and under XLA. Entries
    below the smallest normal number (1e-38 in float32) count as 0, as in all that the backend computes. It is not as
    tight as `stability.operator_norm`: for random kernels of 100 channels about 15 % above the norm, for others up to
    tolerance + n^(1 / 2^(squarings + 2)) - 1, n the smaller number of channels.

    Args:
        kernel: Tensor (…, *kernel_size, c, filters), one kernel or several.
        axes: Number of space axes; default None, all but the last two: one kernel.
        tolerance: What lies between the points of the grid, relative to the norm; default 0.14. Smaller ones need more
            points.
        squarings: Number of squarings of S* S, at least 0; default 2. More are tighter and cost more.

    Returns:
        Tensor of the shape of the leading axes, float64 for a kernel of float64, otherwise float32. It is 0, with the
        gradient 0, where a kernel is 0.

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
    """Return prod_i cos(r_i pi / N_i), the least part of the norm that a point of the grid finds."""
    return math.prod(math.cos(r * math.pi / n) for r, n in zip(sizes, points, strict=True))


def half(points: tuple[int, ...]) -> np.ndarray:
    """Return the indices k of the points 2 pi k / N of a grid, one of each pair x and -x: shape (number, axes)."""
    indices = np.indices(points).reshape(len(points), -1).T
    # Counted in one row, each point is kept that does not come after the one opposite to it.
    opposite = np.ravel_multi_index(tuple((-indices % points).T), points)
    return indices[np.arange(len(indices)) <= opposite]


def waves(sizes: tuple[int, ...], points: tuple[int, ...], frequencies: np.ndarray) -> np.ndarray:
    """Return exp(i j x) at x = 2 pi k / N, k given, for the entries j of the stencil: shape (number, entries)."""
    factors = np.ones((len(frequencies), 1), complex)
    for axis, (r, n) in enumerate(zip(sizes, points, strict=True)):
        # The product j k is reduced as an integer: the factors have no larger an error than the cosine.
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
    # Every sum of p products has an error of at most p unit (1 + …) times that of the absolute values; those of the
    # Gram matrix are bounded by Frobenius norms. Twice that covers products of rounded factors and the final sums.
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
    """Return the rows of two matrices in turns."""
    return ops.convert_to_tensor(np.stack([first, second], axis=1).reshape(-1, first.shape[1]), dtype)


def unit_roundoff(dtype: str, products: bool = True) -> float:
    """Return the largest relative error of an operation in a floating type; in products of matrices, of a factor.

    Args:
        dtype: Name of the type.
        products: Whether convolutions and products of matrices are meant, and not operations entry by entry.
    """
    if products and dtype == "float32":
        return primitives.float32_product_roundoff()
    return {"bfloat16": 2.0**-8, "float16": 2.0**-11, "float32": 2.0**-24, "float64": 2.0**-53}[dtype]


def _tiny(dtype: str) -> float:
    """Return a number that is nothing beside 1, and the square of its inverse a finite one."""
    return {"float32": 1e-18, "float64": 1e-100}[dtype]
