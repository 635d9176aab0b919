"""Lipschitz bounds of a block, from the norms of its kernels and the updates of its integrator."""

from __future__ import annotations

from keras_pdecnn.layers import PDEBlock
from keras_pdecnn.ops.limits import field_lipschitz
from keras_pdecnn.stability.limits import effective_norms


def block_bounds(block: PDEBlock, shape: tuple | None = None) -> tuple[float, float]:
    """Return bounds (lower, upper) of what a block makes of the l2 distance of two inputs.

    lower ||y - y'|| <= ||block(y) - block(y')|| <= upper ||y - y'||

    Each step is a sequence of updates state[target] += factor F(state[source]), and F is Lipschitz with the constant
    l = L ||S^(1/2) K||^2, with L that of sigma after N and S the scale. Where it is the gradient of a convex function
    (every `normalization` but "tv"), F differs between two inputs by -K^T D K times their difference, D
    symmetric with eigenvalues from 0 to L. Then

    * forward Euler, target and source the same part, has upper max(1, h l - 1) and lower max(0, 1 - h l) for a step;
    * shears multiply as matrices of numbers, the distances of the parts of the state. The terms of first order in h
      are better added up before norms are taken, as their sum is again symmetric: I - sum_j w_j A_j of the leapfrog
      scheme, 0 <= A_j <= l_j, has a norm of at most max(1, sum_j w_j l_j - 1), and the first order of Verlet's,
      (I, -B_1; B_2, I), one of at most sqrt(1 + m + m^2), m = max(||B_1||, ||B_2||).

    Otherwise ("tv", and the general layer of `ResidualBlock`) sigma after N has the Lipschitz constant L, with "tv"
    L max|scale| / sqrt(epsilon), and forward Euler 1 + h l. That is true, and useless.

    For a `SecondOrderBlock` lower is that of the state (y_N, v_N) of `forward`: y_N alone may forget.

    Args:
        block: A built block.
        shape: Sizes of the space axes; default None, every size.

    Returns:
        The two bounds.

    Raises:
        ValueError: If the block is not built, or nothing is known about its activation or its integrator: an integrator
            of one's own may add what enlarges distances.

    Example:
        >>> block = keras_pdecnn.layers.ParabolicBlock(2, step_size="auto", normalization=None)
        >>> block.build((None, 8, 8, 4))
        >>> block_bounds(block)[1]
        1.0
    """
    block.integrator.check_bounds()
    norms = effective_norms(block, None if shape is None or None in shape else tuple(shape))
    field = block.field
    squared = norms**2 if field.symmetric else norms[:, ::2] * norms[:, 1::2]
    constants = field_lipschitz(field) * field.sigma_of_n.slope(block.theta()) * squared
    return block.integrator.lipschitz_bounds(float(block.current_step_size()), constants, field.is_monotone)
