"""Step limits: the largest step sizes of a block that the theory of its integrator allows."""

from __future__ import annotations

import numpy as np
from keras import ops

from keras_pdecnn.layers import PDEBlock
from keras_pdecnn.ops.backend import primitives
from keras_pdecnn.ops.limits import LIPSCHITZ, known_limit, limits
from keras_pdecnn.ops.operator_norm import operator_norm
from keras_pdecnn.ops.row_sums import largest_row_sum
from keras_pdecnn.utils.arguments import describe

__all__ = ["LIPSCHITZ", "effective_norms", "limits_of_norms", "step_limit"]


def step_limit(block: PDEBlock) -> np.ndarray:
    """Return for each step of a block the largest step size that the theory allows.

    ParabolicBlock:          h <= 2 / (L ||K||^2)
    SecondOrderBlock:        h < 2 / (sqrt(L) ||K||)
    HamiltonianBlock:        h < 2 / (L ||K1|| ||K2||)
    a user-defined block:    the `limit` of its integrator

    L is the Lipschitz constant of the activation, or 1 for "shrinkage". For "scale", S^(1/2) K takes the place of K.
    The norms are upper bounds of `operator_norm` for every size of image.

    Only the limit of the `ParabolicBlock` is a theorem: with `normalization=None`, "scale" or "shrinkage", with or
    without a bias, a step up to the limit does not enlarge the distance of any two inputs (up to rounding in the type
    of the block). The limits of the other two are those of a linearisation that is constant in time, with these
    normalisations. They guarantee nothing for the nonlinear, time-dependent network. For another integrator,
    `is_nonexpansive` says whether its limit is a theorem.

    With `normalization="tv"`, the result is the limit of the layer without its normalisation, for comparison. For the
    layer with "tv" no limit is proved, and smaller steps can enlarge distances.

    Args:
        block: Block that is built.

    Returns:
        float64 array of shape (steps,); infinity where a kernel is 0.

    Raises:
        ValueError: If the block has no limit (no step size makes a `ResidualBlock` stable), is not built, has kernels
            that are not finite, or has an activation that is not in `LIPSCHITZ`.

    Example:
        >>> block = keras_pdecnn.layers.ParabolicBlock(1, kernel_size=1, normalization=None, kernel_initializer="ones")
        >>> block.build((None, 8, 8, 1))
        >>> step_limit(block).round(9).tolist()
        [2.0]
    """
    if not isinstance(block, PDEBlock):
        raise ValueError(f"block must be a PDEBlock, such as those of `layers`. Received: block={describe(block)}")
    if known_limit(block.integrator, block.field) is None:
        raise ValueError(
            f"block must have a step limit: nothing makes the steps of a {type(block).__name__} stable. "
            f"Received: block={describe(block)}"
        )
    return limits_of_norms(block, effective_norms(block))


def limits_of_norms(block: PDEBlock, norms: np.ndarray) -> np.ndarray:
    """Return the result of `step_limit` for `effective_norms` that have been computed already."""
    with np.errstate(divide="ignore"):
        return limits(block.integrator, block.field, norms)


def effective_norms(block: PDEBlock, shape: tuple | None = None) -> np.ndarray:
    """Return upper bounds of ||K||, or ||S^(1/2) K|| for "scale", for each step and kernel: shape (steps, fields).

    Args:
        block: Block that is built.
        shape: Sizes of the space axes; default None, every size.

    Raises:
        ValueError: If the block is not built, or has kernels that are not finite.
    """
    if not block.built:
        raise ValueError(f"block must be built, as its kernel is needed. Received: block={describe(block)}")
    with primitives.in_float64():
        theta = {name: ops.cast(weight, "float64") for name, weight in block.theta().items()}
        kernel = ops.convert_to_numpy(block.field.sigma_of_n.effective_kernel(theta))
        largest = row_bounds(block, kernel)
    return np.minimum(operator_norm(kernel, block.padding, shape=shape, axes=kernel.ndim - 4), largest)


def row_bounds(block: PDEBlock, kernel: np.ndarray) -> np.ndarray:
    """Return the root of the largest row sum of each kernel of a block with one step size per filter, else infinity."""
    if block.step_size != "per_filter":
        return np.full(kernel.shape[:2], np.inf)
    sums = largest_row_sum(ops.convert_to_tensor(kernel, "float64"), axes=kernel.ndim - 4)
    return np.sqrt(ops.convert_to_numpy(sums))
