"""Kernels whose convolution keeps lengths, or has a norm of at most 1 where the widths do not allow that."""

from __future__ import annotations

import math

from keras import ops

from keras_pdecnn.ops import exact
from keras_pdecnn.ops.norms import norm_bound

ITERATIONS = 12
SQUARINGS = 4  # of the bound that the first iterate is divided by; it is a single matrix, so that a tight one is cheap
_TINY = 1e-7


def orthogonal_kernel(kernel):
    """Return the kernel whose matrix, from patches to filters, is the orthogonal factor of that of a kernel.

    M = Bjorck(K / b(K)) / sqrt(p),   X -> X (3 I - X^T X) / 2

    K is the kernel as a matrix (p c, filters), with p the number of pixels of its stencil. If it has no fewer columns
    than rows, the convolution with M keeps the length of every image on the infinite grid, as the p shifted copies of
    an image, divided by sqrt(p), have its length. If it has fewer columns, M keeps the length of what its columns span.

    The iteration (Bjorck and Bowie, 1971) takes a singular value s to s (3 - s^2) / 2, which is at most 1 and nearer to
    1. As b(K) >= ||K||, the norm of the result is at most 1, up to rounding, after any number of iterations.

    Args:
        kernel: Kernel, a tensor of shape (*kernel_size, c, filters).

    Returns:
        Tensor of the shape of the kernel.

    Example:
        >>> orthogonal_kernel(keras.ops.convert_to_tensor([[[3.0, 0.0], [0.0, 0.5]]])).numpy().round(4).tolist()
        [[[1.0, 0.0], [0.0, 1.0]]]
    """
    kernel = ops.convert_to_tensor(kernel)
    pixels, (c, filters) = math.prod(kernel.shape[:-2]), kernel.shape[-2:]
    matrix = ops.reshape(kernel, (pixels * c, filters))
    wide = pixels * c < filters
    x = ops.transpose(matrix) if wide else matrix
    x = x / exact.maximum(norm_bound(x[None], squarings=SQUARINGS), _TINY)
    for _ in range(ITERATIONS):
        x = 1.5 * x - 0.5 * exact.matmul(x, exact.matmul(ops.transpose(x), x))
    x = ops.transpose(x) if wide else x
    return ops.reshape(x / math.sqrt(pixels), kernel.shape)
