"""Step limits: how large a step of a block may be by the theory of its integrator."""

from __future__ import annotations

import numpy as np
from keras import ops

from keras_pdecnn.layers import PDEBlock
from keras_pdecnn.ops.backend import primitives
from keras_pdecnn.ops.limits import LIPSCHITZ, known_limit, limits
from keras_pdecnn.ops.operator_norm import operator_norm

__all__ = ["LIPSCHITZ", "effective_norms", "limits_of_norms", "step_limit"]


def step_limit(block: PDEBlock) -> np.ndarray:
    """Return the largest step size of each step of a block, from `operator_norm` and its activation.

    ParabolicBlock:    h <= 2 / (L ||K||^2)
    SecondOrderBlock:  h < 2 / (sqrt(L) ||K||)
    HamiltonianBlock:  h < 2 / (L ||K1|| ||K2||)
    a block of one's own: what the `limit` of its integrator says

    L is the Lipschitz constant of the activation, of "shrinkage" 1; for "scale" S^(1/2) K takes the place of K. The
    norms are upper bounds for every size of image. Only the first is a theorem: with `normalization=None`, "scale" or
    "shrinkage", with or without a bias, a parabolic step does not enlarge the distance of any two inputs (up to
    rounding in the type of the block). The other two are those of a linearisation that is constant in time, again with
    these normalisations; they guarantee nothing for the nonlinear, time-dependent network. Of another integrator
    `is_nonexpansive` says which it is.

    With `normalization="tv"` the numbers are those of the layer without its normalisation, for comparison: no limit is
    proved for it, and smaller steps can expand.

    Args:
        block: A built block.

    Returns:
        float64 array of shape (steps,), infinity where a kernel is 0.

    Raises:
        ValueError: If the block has no limit (nothing makes the steps of a `ResidualBlock` stable), is not built, has
            kernels that are not finite, or an activation not in `LIPSCHITZ`.

    Example:
        >>> block = keras_pdecnn.layers.ParabolicBlock(1, kernel_size=1, normalization=None, kernel_initializer="ones")
        >>> block.build((None, 8, 8, 1))
        >>> step_limit(block).round(9).tolist()
        [2.0]
    """
    if not isinstance(block, PDEBlock):
        raise ValueError(f"block must be a block, such as those of `layers`. Received: block={block!r}")
    if known_limit(block.integrator, block.field) is None:
        raise ValueError(
            f"block must have a step limit: nothing makes the steps of a {type(block).__name__} stable. "
            f"Received: block={block!r}"
        )
    return limits_of_norms(block, effective_norms(block))


def limits_of_norms(block: PDEBlock, norms: np.ndarray) -> np.ndarray:
    """Return what `step_limit` returns, from `effective_norms` that are there already."""
    with np.errstate(divide="ignore"):
        return limits(block.integrator, block.field, norms)


def effective_norms(block: PDEBlock, shape: tuple | None = None) -> np.ndarray:
    """Return upper bounds of ||K||, for "scale" of ||S^(1/2) K||, for every step and field: shape (steps, fields).

    Args:
        block: A built block.
        shape: Sizes of the space axes; default None, every size.

    Raises:
        ValueError: If the block is not built, or has kernels that are not finite.
    """
    if not block.built:
        raise ValueError(f"block must be built, for its kernel is needed. Received: block={block!r}")
    with primitives.in_float64():
        theta = {name: ops.cast(weight, "float64") for name, weight in block.theta().items()}
        kernel = ops.convert_to_numpy(block.field.sigma_of_n.effective_kernel(theta))
    return np.asarray(operator_norm(kernel, block.padding, shape=shape, axes=kernel.ndim - 4))
