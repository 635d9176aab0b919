"""Lipschitz bounds of a block, from the norms of its kernels and the updates of its integrator."""

from __future__ import annotations

import math

from keras_pdecnn import layers
from keras_pdecnn.layers import PDEBlock
from keras_pdecnn.ops.limits import field_lipschitz
from keras_pdecnn.stability.limits import effective_norms


def block_bounds(block: PDEBlock, shape: tuple | None = None) -> tuple[float, float]:
    """Return a lower and an upper bound of the factor by which a block changes the l2 distance of two inputs.

    lower ||y - y'|| <= ||block(y) - block(y')|| <= upper ||y - y'||

    An upper bound of 1 means that the block never moves two inputs apart. For a `SecondOrderBlock`, the lower bound is
    that of the state (y_N, v_N), which `forward` returns, as y_N alone may be equal for two different inputs.

    The bounds follow from the Lipschitz constant l = L ||S^(1/2) K||^2 of F, where L is the constant of sigma after N,
    and S is the scale (1 if there is none). Suppose first that sigma after N is the gradient of a convex function,
    which holds for the symmetric layer with every `normalization` but "tv". Then the values of F at two inputs differ
    by -K^T D K times the difference of the inputs, where D is symmetric with eigenvalues from 0 to L, and

    * for forward Euler, the bounds of one step are max(0, 1 - h l) and max(1, h l - 1);
    * for Verlet and leapfrog, whose updates are shears, all steps together are a quadratic form of the increments,
      whose largest value is the bound (`ops.integrators.joint.JointForm`). Leapfrog is non-expansive as a map y_0 ->
      y_N if h^2 l <= 3.3 / N^2 with N > 1, with kernels that change in time as well;
      `SecondOrderBlock.nonexpansive_gain` has the largest number for each N. Verlet is not at any step size, as one
      field without the other is a shear. For N > 64 steps of Verlet and N > 500 of leapfrog, products of 2 by 2
      matrices of numbers bound the distances of the parts of the state, with the terms of first order in h added
      before norms are taken.

    In the other cases, "tv" and the general layer of `ResidualBlock`, one step of forward Euler has the upper bound
    1 + h l. With "tv", the constant of sigma after N is L max|scale| / sqrt(epsilon). These bounds are true, and too
    large to be of use.

    Args:
        block: Block that is built.
        shape: Sizes of the space axes; default None, for which the bounds hold for every size.

    Returns:
        Tuple (lower, upper).

    Raises:
        ValueError: If the block is not built, its activation is not in `stability.limits.LIPSCHITZ`, its integrator is
            user-defined, for which no bounds are proved, its class redefines a method of a block, or its step size is
            not finite.

    Example:
        >>> block = keras_pdecnn.layers.ParabolicBlock(2, step_size="auto", normalization=None)
        >>> block.build((None, 8, 8, 4))
        >>> block_bounds(block)[1]
        1.0
    """
    block.integrator.check_bounds()
    _check_methods(type(block))
    h = float(block.current_step_size())
    if not math.isfinite(h):
        raise ValueError(f"the weights are too large: the step size is {h}. Received: {block.name}")
    norms = effective_norms(block, None if shape is None or None in shape else tuple(shape))
    field = block.field
    squared = norms**2 if field.symmetric else norms[:, ::2] * norms[:, 1::2]
    constants = field_lipschitz(field) * field.sigma_of_n.slope(block.theta()) * squared
    return block.integrator.lipschitz_bounds(h, constants, field.is_monotone)


_DATA = ("integrator", "symmetric", "__module__", "__doc__", "__qualname__", "__annotations__")


def _check_methods(kind: type[PDEBlock]):
    """Raise ValueError if a class outside the package redefines what its blocks compute."""
    for cls in kind.__mro__:
        if cls in vars(layers).values():
            return
        for name, value in vars(cls).items():
            if name not in _DATA and (callable(value) or isinstance(value, property | classmethod | staticmethod)):
                raise ValueError(f"nothing is known about the class {kind.__name__}, which redefines {name}")
