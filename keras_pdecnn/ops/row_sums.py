"""Row sums of K K^T for convolutions: a bound of the norm that needs no iteration, with one number per filter."""

from __future__ import annotations

import itertools
import math

from keras import backend, ops

from keras_pdecnn.ops import exact


def row_sums(kernel, axes: int | None = None):
    """Return T_i = sum_j |K K^T|_ij for each filter i of a convolution, a bound K K^T <= diag(T).

    T_i = sum_j sum_d |sum_s <k_{s, i}, k_{s+d, j}>|

    k_{s, i} is the vector over the channels at position s of the stencil of filter i. The sums over d run over all
    displacements of the stencil against itself. The bound holds on images of every size, for both paddings:

    * On the infinite grid, K K^T is the convolution with the numbers a_d,ij whose absolute values are summed. Since
      |x y| <= (x^2 + y^2) / 2, <u, K K^T u> <= sum_i T_i ||u_i||^2 (diagonal dominance).
    * With periodic padding, some displacements are the same, and the absolute value of a sum is at most the sum of the
      absolute values.
    * With zero padding, K = R K' E, where E extends by zeros, K' acts on the infinite grid, and R restricts. As E E^T
      is a projection, K K^T <= R K' K'^T R^T <= diag(T).

    Args:
        kernel: Kernel, or several kernels with leading axes, a tensor of shape (…, *kernel_size, c, filters).
        axes: Number of space axes; default None, for a single kernel without leading axes.

    Returns:
        Tensor of shape (…, filters), which can be differentiated.

    Example:
        >>> row_sums(keras.ops.convert_to_tensor([[[1.0, 2.0]]])).numpy().tolist()  # K = (1, 2)^T
        [3.0, 6.0]
    """
    kernel = ops.convert_to_tensor(kernel)
    axes = len(kernel.shape) - 2 if axes is None else axes
    leading, (*size, c, filters) = tuple(kernel.shape[: -axes - 2]), tuple(kernel.shape[-axes - 2 :])
    kernels = ops.reshape(kernel, (-1, *size, c, filters))
    total = 0.0
    for shift in _half(size):
        first, second = (
            ops.reshape(kernels[(slice(None), *window)], (-1, _count(size, shift) * c, filters))
            for window in (_window(size, shift, +1), _window(size, shift, -1))
        )
        products = ops.abs(exact.matmul(ops.swapaxes(first, 1, 2), second))
        total = total + ops.sum(products, axis=2)
        if any(shift):  # the opposite displacement has the transposed matrix
            total = total + ops.sum(products, axis=1)
    return ops.reshape(total, (*leading, filters))


def with_row_sums(kernel, axes: int, value: float):
    """Return the kernel with each filter divided by sqrt(T_i / value), T = row_sums(kernel), so that ||K||^2 <= value.

    The result does not change if the kernel is multiplied by a number. A filter of zeros stays as it is.

    Args:
        kernel: Kernels, a tensor of shape (…, *kernel_size, c, filters).
        axes: Number of space axes.
        value: Bound of the square of the norm.
    """
    trailing = tuple(range(len(kernel.shape) - axes - 2, len(kernel.shape)))
    size = ops.stop_gradient(ops.max(ops.abs(kernel), axis=trailing, keepdims=True))
    kernel = kernel / exact.where(size > 0, size, 1.0)
    sums = row_sums(kernel, axes)
    # A sum of 0 is replaced before the root is taken, whose derivative would be infinite there.
    root = exact.sqrt(value / exact.where(sums > 0, sums, 1.0))
    return kernel * ops.reshape(root, (*root.shape[:-1], *[1] * (axes + 1), root.shape[-1]))


def largest_row_sum(kernel, axes: int):
    """Return max_i T_i >= ||K||^2 for kernels (…, *kernel_size, c, filters), with an allowance for all rounding errors.

    The entry with the indices d, i, j is a sum of p = c prod(kernel_size) products. Its error is at most 2 p u
    ||k_i|| ||k_j||, with u the unit roundoff, so T_i is larger than the computed value by at most the sum of these.
    """
    kernel = ops.convert_to_tensor(kernel)
    unit = {"float64": 2.0**-53}.get(backend.standardize_dtype(kernel.dtype), 2.0**-24)
    size, (c, filters) = tuple(kernel.shape[-axes - 2 : -2]), tuple(kernel.shape[-2:])
    within = tuple(range(len(kernel.shape) - axes - 2, len(kernel.shape) - 1))
    lengths = exact.sqrt(ops.sum(ops.square(kernel), axis=within))
    displacements, terms = math.prod(2 * n - 1 for n in size), c * math.prod(size)
    errors = 2 * (terms + displacements + filters) * unit * displacements
    sums = row_sums(kernel, axes) + errors * lengths * ops.sum(lengths, axis=-1, keepdims=True)
    return ops.max(sums, axis=-1)


def _half(size) -> list[tuple[int, ...]]:
    """Return one of each pair of opposite displacements of a stencil against itself, the displacement 0 included."""
    shifts = itertools.product(*(range(1 - n, n) for n in size))
    return [shift for shift in shifts if shift >= tuple(-d for d in shift)]


def _window(size, shift, sign: int) -> tuple[slice, ...]:
    """Return the positions s (sign 1) or s + d (sign -1) of the stencil for which s and s + d both belong to it."""
    return tuple(slice(max(0, -sign * d), n - max(0, sign * d)) for n, d in zip(size, shift, strict=True))


def _count(size, shift) -> int:
    return math.prod(n - abs(d) for n, d in zip(size, shift, strict=True))
