"""Variants of Verlet's method and of leapfrog that are of second order at constant theta."""

from __future__ import annotations

from keras_pdecnn.ops import exact
from keras_pdecnn.ops.integrators.integrator import Integrator
from keras_pdecnn.ops.integrators.leapfrog import leapfrog
from keras_pdecnn.ops.integrators.update import Factor, Update
from keras_pdecnn.ops.integrators.verlet import verlet

# Half an update of y, one of z, half an update of y: a step backwards is the same step with -h.
symmetric_verlet = Integrator(
    name="symmetric Verlet",
    fields=2,
    updates=(
        Update(target=0, source=1, field=0, factor=Factor(0.5)),
        Update(target=1, source=0, field=1, factor=Factor(-1.0)),
        Update(target=0, source=1, field=0, factor=Factor(0.5)),
    ),
    start=verlet.start,
    finish=verlet.finish,
    parts=2,
    limit=verlet.limit,
)


def _half_at_first(j):
    """Return 1/2 for j = 0, otherwise 1."""
    return 1 - 0.5 * (max(0, 1 - j) if isinstance(j, int) else exact.maximum(1 - j, 0 * j))


# y_1 = y_0 + h^2 / 2 F(theta_0, y_0) instead of y_{-1} = y_0: y'(0) = 0 to second order.
half_kick_leapfrog = Integrator(
    name="leapfrog with a half kick at first",
    fields=1,
    updates=(
        Update(target=1, source=0, field=0, factor=Factor(power=2, weight=_half_at_first)),
        Update(target=0, source=1, factor=1.0),
    ),
    start=leapfrog.start,
    finish=leapfrog.finish,
    limit=leapfrog.limit,
)
