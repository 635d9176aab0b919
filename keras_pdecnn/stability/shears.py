"""Lipschitz bounds of a block, from the norms of its kernels and the updates of its integrator."""

from __future__ import annotations

import math

import keras
import numpy as np

from keras_pdecnn.ops.integrators import forward_euler, leapfrog, verlet
from keras_pdecnn.ops.limits import PROVABLE, effective_kernel, lipschitz
from keras_pdecnn.stability.norms import operator_norm


def block_bounds(block, shape=None) -> tuple[float, float]:
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
    if not block.built:
        raise ValueError(f"block must be built, for its kernel is needed. Received: block={block!r}")
    if not any(block.integrator is known for known in (forward_euler, verlet, leapfrog)):
        raise ValueError(
            "nothing is known about integrators other than forward Euler, Verlet and leapfrog. "
            f"Received: integrator={block.integrator.name!r}"
        )
    gains, monotone = _gains(block, shape), _is_monotone(block)
    if not block.integrator.is_reversible:
        upper = np.maximum(1, gains - 1) if monotone else 1 + gains
        return float(np.prod(np.maximum(0, 1 - gains))), float(np.prod(upper))
    forward = [step for fields in gains for step in _updates(block.integrator, fields)]
    there, back = _Shears(forward), _Shears(forward[::-1])
    if block.integrator.parts == 1:
        return 1 / float(np.linalg.norm(back.total[0])), there.leapfrog() if monotone else float(there.total[0, 0])
    if not monotone:
        return 1 / float(np.linalg.norm(back.total, 2)), float(np.linalg.norm(there.total, 2))
    return 1 / back.verlet(), there.verlet()


def _updates(integrator, fields):
    """Return (target, source, gain, whether F is involved) of the updates of a step with these gains."""
    for update in integrator.updates:
        has_field = update.field is not None
        yield update.target, update.source, fields[update.field] if has_field else 1.0, has_field


class _Shears:
    """The distances of the two parts of a state after some shears, by the order in the gains of F.

    zeroth, first and rest are matrices: of no, of one and of more factors F.
    """

    def __init__(self, updates):
        self.zeroth, self.first, self.rest = np.eye(2), np.zeros((2, 2)), np.zeros((2, 2))
        for target, source, gain, has_field in updates:
            if has_field:
                self.rest[target] += gain * (self.first[source] + self.rest[source])
                self.first[target] += gain * self.zeroth[source]
            else:
                for part in (self.zeroth, self.first, self.rest):
                    part[target] += gain * part[source]

    @property
    def total(self) -> np.ndarray:
        return self.zeroth + self.first + self.rest

    def leapfrog(self) -> float:
        """Return the bound of y_0 -> y_N, with v_0 = 0."""
        return max(1.0, float(self.first[0, 0]) - 1) + float(self.rest[0, 0])

    def verlet(self) -> float:
        """Return the bound of (y_0, z_0) -> (y_N, z_N)."""
        m = float(self.first.max())
        ordered = math.sqrt(1 + m + m * m) + float(np.linalg.norm(self.rest, 2))
        return min(ordered, float(np.linalg.norm(self.total, 2)))


def _is_monotone(block) -> bool:
    return block.symmetric and block.normalization in PROVABLE


def _gains(block, shape) -> np.ndarray:
    """Return |factor| times the Lipschitz constant of F, for every step and field: shape (steps, fields)."""
    constant = lipschitz(block.activation, block.normalization)
    theta = {name: keras.ops.cast(weight, "float64") for name, weight in block.theta().items()}
    if block.normalization == "tv":
        constant = constant * np.abs(theta["scale"]).max(axis=-1) / math.sqrt(block.epsilon)
    shape = None if shape is None or None in shape else tuple(shape)
    kernel = effective_kernel(theta, block.normalization)
    norms = operator_norm(kernel, block.padding, shape=shape, axes=len(kernel.shape) - 4)
    squared = norms**2 if block.symmetric else norms.prod(axis=1, keepdims=True)
    h = float(block.current_step_size())
    factors = [abs(update.factor(h)) for update in block.integrator.updates if update.field is not None]
    return np.array(factors) * constant * squared
