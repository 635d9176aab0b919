"""Second-order equations with damping: the telegraph equation, and momentum residual networks."""

from __future__ import annotations

import math
import numbers

from keras import ops

from keras_pdecnn.ops.integrators.integrator import Integrator
from keras_pdecnn.ops.integrators.leapfrog import leapfrog
from keras_pdecnn.ops.integrators.update import Factor, Update
from keras_pdecnn.utils import arguments


def damped_leapfrog(damping: float = 1.0) -> Integrator:
    """Return leapfrog for the telegraph equation y'' + gamma y' = F(theta, y), a damped wave.

    v' = exp(-gamma h) v + h^2 F(theta, y),   y' = y + v',   v = 0 at first

    The step is of order 1. It can be undone, which divides v by exp(-gamma h): rounding errors grow by exp(gamma T).

    Args:
        damping: Coefficient gamma, positive; default 1. Without damping it is `leapfrog`.

    Raises:
        ValueError: If the damping is not positive.

    Example:
        >>> damped_leapfrog(0.5).is_reversible
        True
    """
    gamma = arguments.check_positive("damping", damping)

    def decay(h):
        return math.exp(-gamma * float(h)) if isinstance(h, numbers.Real) else ops.exp(-gamma * h)

    return Integrator(
        name="damped leapfrog",
        fields=1,
        updates=(
            Update(target=1, source=0, field=0, factor=Factor(power=2), scale=decay),
            Update(target=0, source=1, factor=1.0),
        ),
        start=leapfrog.start,
        finish=leapfrog.finish,
        # h^2 a < 2 (1 + exp(-gamma h)) for y'' + gamma y' = -a y, which holds for h^2 a <= 2.
        limit=lambda lipschitz, norms: (2 / lipschitz) ** 0.5 / norms[:, 0],
    )


def momentum(decay: float = 0.9) -> Integrator:
    """Return the step of a momentum residual network.

    v' = gamma v + (1 - gamma) h F(theta, y),   y' = y + v',   v = 0 at first

    As many steps go on, it follows y' = F(theta, y) with a delay. It can be undone, which divides v by gamma.

    Args:
        decay: Factor gamma between 0 and 1; default 0.9.

    Raises:
        ValueError: If the factor is not between 0 and 1.

    Example:
        >>> momentum(0.9).updates[0].scaled(1.0, 2.0)
        1.8
    """
    gamma = arguments.check_positive("decay", decay)
    if gamma >= 1:
        raise ValueError(f"decay must be between 0 and 1. Received: decay={decay!r}")
    return Integrator(
        name="momentum",
        fields=1,
        updates=(
            Update(target=1, source=0, field=0, factor=Factor(1 - gamma), scale=gamma),
            Update(target=0, source=1, factor=1.0),
        ),
        start=leapfrog.start,
        finish=leapfrog.finish,
        # The step is stable for y' = -a y if (1 - gamma) h a < 2 (1 + gamma).
        limit=lambda lipschitz, norms: 2 * (1 + gamma) / ((1 - gamma) * lipschitz * norms[:, 0] ** 2),
    )
