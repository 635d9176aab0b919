"""Step limits: how large a step of a block may be by the theory of its integrator."""

from __future__ import annotations

import numpy as np

from keras_pdecnn.layers import HamiltonianBlock, ParabolicBlock, PDEBlock, SecondOrderBlock
from keras_pdecnn.ops.limits import LIPSCHITZ, effective_kernel, lipschitz
from keras_pdecnn.stability.norms import operator_norm

__all__ = ["LIPSCHITZ", "step_limit"]


def step_limit(block) -> np.ndarray:
    """Return the largest step size of each step of a block, from `operator_norm` and its activation.

    ParabolicBlock:    h <= 2 / (L ||K||^2)
    SecondOrderBlock:  h < 2 / (sqrt(L) ||K||)
    HamiltonianBlock:  h < 2 / (L ||K1|| ||K2||)

    L is the Lipschitz constant of the activation, of "shrinkage" 1; for "scale" S^(1/2) K takes the place of K. The
    norms are upper bounds for every size of image. Only the first is a theorem: with `normalization=None`, "scale" or
    "shrinkage", with or without a bias, a parabolic step does not enlarge the distance of any two inputs (up to
    rounding in the type of the block). The other two are those of a linearisation that is constant in time, again with
    these normalisations; they guarantee nothing for the nonlinear, time-dependent network.

    With `normalization="tv"` the numbers are those of the layer without its normalisation, for comparison: no limit is
    proved for it, and smaller steps can expand.

    Args:
        block: A built `ParabolicBlock`, `SecondOrderBlock` or `HamiltonianBlock`.

    Returns:
        float64 array of shape (steps,), infinity where a kernel is 0.

    Raises:
        ValueError: If the block is of another class (nothing makes the steps of a `ResidualBlock` stable), is not
            built, has kernels that are not finite, or an activation not in `LIPSCHITZ`.

    Example:
        >>> block = keras_pdecnn.layers.ParabolicBlock(1, kernel_size=1, normalization=None, kernel_initializer="ones")
        >>> block.build((None, 8, 8, 1))
        >>> step_limit(block).round(9).tolist()
        [2.0]
    """
    if not isinstance(block, ParabolicBlock | SecondOrderBlock | HamiltonianBlock):
        reason = " (nothing makes the steps of other blocks stable)" if isinstance(block, PDEBlock) else ""
        raise ValueError(
            f"block must be a ParabolicBlock, SecondOrderBlock or HamiltonianBlock{reason}. Received: block={block!r}"
        )
    if not block.built:
        raise ValueError(f"block must be built, for its kernel is needed. Received: block={block!r}")
    constant = lipschitz(block.activation, block.normalization)
    kernel = effective_kernel(block.theta(), block.normalization)
    norms = operator_norm(kernel, block.padding, axes=len(kernel.shape) - 4)
    with np.errstate(divide="ignore"):
        return block.integrator.limit(constant, norms)
