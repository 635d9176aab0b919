"""Upper and lower bounds of the l2 norm of a convolution, which account for all rounding errors.

On Z^d, the convolution with stencils s_j, |j_i| <= r_i, is a multiplication in Fourier space by its symbol
S(x) = sum_j s_j exp(i j x). Its norm is M = max_x ||S(x)||. No norm on a finite image exceeds M: zero padding means to
extend by zeros, convolve and restrict, and periodic padding on n points takes the values of the symbol at 2 pi k / n.

The maximum may lie between the points 2 pi k / N of a grid. There are unit vectors u and v such that
p(x) = Re <u, S(x) v> attains M. On each axis, p is a real trigonometric polynomial of degree r that M bounds. By a
theorem of M. Riesz, p(x + t) >= M cos(r t) for |r t| <= pi if p has its maximum at x, and the nearest point of the grid
is at most pi / N away. Applied to one axis after the other, this gives

    M <= max over the grid of ||S|| / prod_i cos(r_i pi / N_i).
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Sequence

import numpy as np
from keras import ops

from keras_pdecnn.ops import norms as grids
from keras_pdecnn.ops.convolution import PADDINGS
from keras_pdecnn.utils import arguments

TOLERANCE = 0.02
"""Largest excess of the upper bound for all sizes of image, relative to the norm."""

ITERATIONS = 30
CHUNK = 2**20  # Number of complex entries of symbols that are in memory at the same time.
EPSILON = np.finfo(np.float64).eps


def operator_norm(
    kernel,
    padding: str = "same",
    bound: str = "upper",
    shape: int | Sequence[int] | None = None,
    axes: int | None = None,
) -> float | np.ndarray:
    """Return an upper or a lower bound of the l2 norm of the convolution with a kernel.

    upper = max over the grid of ||S|| / prod_i cos(r_i pi / N_i),   S(x) = sum_j s_j exp(i j x)
    lower = ||K y|| / ||y||,   y from a power iteration with K^T K on a finite image

    Without `shape`, the upper bound holds for every size of image and both paddings. The norm is largest on an
    unbounded image, and the bound exceeds that norm by at most 2 %. The lower bound belongs to one finite image that
    the function chooses: it is below the largest norm, but may be above the norm on smaller images.

    With `shape`, both are bounds of the norm on images of this size. For "periodic", the upper bound is the norm
    itself, but for the allowance for rounding errors. For "same", it is the norm on a periodic image that is larger by
    r, half the kernel size.

    Both bounds are computed in float64, and then moved outwards by a bound of the rounding errors. This bound is
    relative to sum_j ||s_j||, not to the norm: where the stencils cancel each other, so that the norm is far below this
    sum, the upper bound exceeds the norm by more than rounding. The cost is one
    eigenvalue problem for each frequency of half a grid. The grid has 23 points per axis for 3x3 kernels, or a size
    that follows from `shape`.

    Args:
        kernel: Kernel (*kernel_size, c, filters) of odd sizes, or the kernel of a block (steps, fields, *kernel_size,
            c, filters), with one to three space axes; an array, tensor or variable.
        padding: Continuation of the features at the border, "same" (zeros, default) or "periodic".
        bound: Kind of the bound, "upper" (default) or "lower".
        shape: Size of the image, one integer per space axis; default None, every size.
        axes: Number of space axes; default None, found from the number of axes of the kernel. It must be given if the
            kernel has other leading axes, and for an array with five axes, which may be a kernel with three space axes
            or that of a block with one.

    Returns:
        float for one kernel; float64 array of the shape of the leading axes for several.

    Raises:
        ValueError: If the kernel has another shape, an entry that is not finite, or an even size, or if an argument is
            outside its range.

    Example:
        >>> round(operator_norm([[[-1.0]], [[0.0]], [[1.0]]], padding="periodic", shape=(12,)), 9)
        2.0
    """
    kernel, count = _read(kernel, axes)
    arguments.check_choice("padding", padding, PADDINGS)
    arguments.check_choice("bound", bound, ("upper", "lower"))
    size = None if shape is None else _check_shape(shape, count)
    find = _upper if bound == "upper" else _lower
    leading = kernel.shape[: -count - 2]
    norms = [find(one, padding, size) for one in kernel.reshape(-1, *kernel.shape[len(leading) :])]
    return np.reshape(norms, leading) if leading else norms[0]


def _upper(kernel: np.ndarray, padding: str, shape: tuple | None) -> float:
    kernel, exponent = _scale(kernel)
    grid = _grid(kernel, padding, shape)
    squared, _ = _largest(kernel, grid)
    # Rounding errors arise in the symbol (a sum over the stencil), in its Gram matrix (a sum over channels) and in the
    # eigenvalues. Each is relative to the square of sum_j ||s_j||. The factor 10 is generous.
    squared += 10 * (sum(kernel.shape) + kernel[..., 0, 0].size) * EPSILON * _size(kernel) ** 2
    between = grids.between(grids.radii(kernel.shape), grid) if shape is None else 1.0
    return float(np.ldexp(math.sqrt(squared) / between, exponent))


def _lower(kernel: np.ndarray, padding: str, shape: tuple | None) -> float:
    kernel, exponent = _scale(kernel)
    grid = _grid(kernel, padding, shape)
    adjoint = np.flip(kernel, axis=tuple(range(len(grid)))).swapaxes(-1, -2)
    y, norm = _start(kernel, padding, grid, shape or grid), 0.0
    for _ in range(ITERATIONS):
        y /= max(np.linalg.norm(y), np.finfo(np.float64).tiny)
        image = _convolve(y, kernel, padding)
        norm = max(norm, float(np.linalg.norm(image)))
        y = _convolve(image, adjoint, padding)
    # Rounding errors arise in the convolution (a sum over stencil and channels) and in the norms of y and of its image.
    terms = kernel[..., 0].size + y.size + image.size
    return float(np.ldexp(max(norm - 2 * terms * EPSILON * _size(kernel), 0.0), exponent))


def _start(kernel: np.ndarray, padding: str, grid: tuple, shape: tuple) -> np.ndarray:
    """Return the wave that the symbol enlarges most, with a little noise; for "same" it fades towards the border."""
    _, frequency = _largest(kernel, grid)
    symbol = _symbols(kernel, grid, np.array([frequency]))[0]
    vector = np.linalg.svd(symbol)[2][0].conj()
    phase, window = np.zeros(shape), np.ones(shape)
    for axis, (k, n, side) in enumerate(zip(frequency, grid, shape, strict=True)):
        along = np.arange(side).reshape([-1 if i == axis else 1 for i in range(len(shape))])
        phase = phase + 2 * math.pi * k / n * along
        if padding == "same":
            window = window * np.sin(math.pi * (along + 1) / (side + 1))
    wave = (np.exp(1j * phase) * window)[..., None] * vector
    # The kernel is real, so it acts in the same way on the real and on the imaginary part, one of which may vanish.
    y = max(wave.real, wave.imag, key=np.linalg.norm)
    noise = np.random.default_rng(0).normal(size=y.shape)
    return y / np.linalg.norm(y) + 0.01 * noise / np.linalg.norm(noise)


def _largest(kernel: np.ndarray, grid: tuple) -> tuple[float, np.ndarray]:
    """Return the largest ||S||^2 on the grid, and the indices of its frequency."""
    frequencies = grids.half(grid)
    c, filters = kernel.shape[-2:]
    largest = []
    for start in range(0, len(frequencies), chunk := max(1, CHUNK // (c * filters))):
        symbols = _symbols(kernel, grid, frequencies[start : start + chunk])
        turned = symbols.conj().swapaxes(-1, -2)
        gram = turned @ symbols if c <= filters else symbols @ turned
        largest.append(np.linalg.eigvalsh(gram)[:, -1])
    values = np.concatenate(largest)
    return max(float(values.max()), 0.0), frequencies[values.argmax()]


def _symbols(kernel: np.ndarray, grid: tuple, frequencies: np.ndarray) -> np.ndarray:
    """Return S at the frequencies 2 pi k / N with the given k, as matrices (filters, c)."""
    factors = grids.waves(grids.radii(kernel.shape), grid, frequencies)
    c, filters = kernel.shape[-2:]
    stencils = kernel.reshape(-1, c * filters)
    # Two products with a real matrix are cheaper than one with a complex matrix.
    symbols = factors.real @ stencils + 1j * (factors.imag @ stencils)
    return symbols.reshape(-1, c, filters).swapaxes(-1, -2)


def _convolve(y: np.ndarray, kernel: np.ndarray, padding: str) -> np.ndarray:
    """Return (K y)_i = sum_j s_j y_{i+j}; a mirrored stencil of transposed matrices gives the adjoint."""
    margins = [(r, r) for r in grids.radii(kernel.shape)] + [(0, 0)]
    padded = np.pad(y, margins, mode="constant" if padding == "same" else "wrap")
    shifts = np.ndindex(kernel.shape[:-2])
    windows = (tuple(slice(j, j + n) for j, n in zip(shift, y.shape[:-1], strict=True)) for shift in shifts)
    return sum(padded[window] @ stencil for window, stencil in zip(windows, _stencils(kernel), strict=True))


def _grid(kernel: np.ndarray, padding: str, shape: tuple | None) -> tuple:
    """Return the number of points per axis: enough for the tolerance, or what an image of the given size needs."""
    radii = grids.radii(kernel.shape)
    if shape is None:
        return grids.grid(radii, TOLERANCE)
    # Pixels n - 1 apart must not become neighbours across the boundary of the periodic image.
    return tuple(n + r if padding == "same" else n for n, r in zip(shape, radii, strict=True))


def _stencils(kernel: np.ndarray) -> np.ndarray:
    """Return the matrices s_j, shape (number, c, filters), in the order of np.ndindex."""
    return kernel.reshape(-1, *kernel.shape[-2:])


def _size(kernel: np.ndarray) -> float:
    """Return sum_j ||s_j|| (Frobenius), which bounds the convolution with the absolute values of the kernel."""
    return float(np.sum(np.linalg.norm(_stencils(kernel), axis=(1, 2))))


def _scale(kernel: np.ndarray) -> tuple[np.ndarray, int]:
    """Return the kernel times a power of 2 that keeps squares in range, exactly, and the exponent that undoes it."""
    exponent = int(np.frexp(np.max(np.abs(kernel)))[1])
    return np.ldexp(kernel, -exponent), exponent


def _read(kernel, axes: int | None) -> tuple[np.ndarray, int]:
    """Return the kernel as a float64 array, and its number of space axes."""
    try:
        array = np.asarray(ops.convert_to_numpy(kernel) if ops.is_tensor(kernel) else kernel)
        if np.iscomplexobj(array):
            raise TypeError("it is complex")
        array = array.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"kernel must be an array of numbers. Received: kernel={kernel!r}") from error
    received = f"Received: kernel of shape {array.shape}"
    if axes is None:
        axes = {3: 1, 4: 2, 5: 3, 6: 2, 7: 3}.get(array.ndim)
        # The second axis of a block's kernel has one or two entries, for its fields.
        if axes is None or (array.ndim == 5 and array.shape[1] <= 2):
            raise ValueError(
                "kernel must be a kernel (*kernel_size, c, filters) or that of a block (steps, fields, *kernel_size, "
                f"c, filters). If it could be both, or is another array, set axes. {received}"
            )
    elif isinstance(axes, bool) or not isinstance(axes, numbers.Integral) or not 1 <= int(axes) <= 3:
        raise ValueError(f"axes must be the number of space axes, 1, 2 or 3. Received: axes={axes!r}")
    if array.ndim < axes + 2 or array.size == 0:
        raise ValueError(f"kernel must have {axes} space axes, channels and filters, none empty. {received}")
    arguments.check_odd_sizes("kernel_size", array.shape[-axes - 2 : -2])
    if bad := int(np.sum(~np.isfinite(array))):
        raise ValueError(f"kernel must be finite. {received} with {bad} entries that are NaN or infinite")
    return array, int(axes)


def _check_shape(shape: int | Sequence[int], count: int) -> tuple[int, ...]:
    """Return shape as a tuple of one positive integer per space axis."""
    entries = tuple(shape) if isinstance(shape, tuple | list) else (shape,)
    if len(entries) != count:
        raise ValueError(f"shape must have one entry per space axis ({count}). Received: shape={shape!r}")
    return tuple(arguments.check_positive_integer("shape", entry) for entry in entries)
