"""Verlet's method, of Hamiltonian networks."""

from __future__ import annotations

import math

import numpy as np
from keras import ops
from scipy import optimize

from keras_pdecnn.ops.integrators.distances import there_and_back
from keras_pdecnn.ops.integrators.integrator import Bounds, Integrator
from keras_pdecnn.ops.integrators.joint import JointForm
from keras_pdecnn.ops.integrators.update import Factor, Update

# y += h F(theta1, z), then z -= h F(theta2, y) (eq. 10).
_UPDATES = (
    Update(target=0, source=1, field=0),
    Update(target=1, source=0, field=1, factor=Factor(-1.0)),
)


def _start(y) -> tuple:
    """Return the first half of the channels as y, the second half as z."""
    return tuple(ops.split(y, 2, axis=-1))


def _finish(state: tuple):
    return ops.concatenate(state, axis=-1)


def _bounds(gains: np.ndarray, monotone: bool) -> tuple[float, float]:
    """Return bounds from products of shears.

    For monotone F, a smaller bound results if the terms of first order in h are added before norms are taken, as their
    sum is again symmetric: the norm of (I, -B_1; B_2, I) is at most sqrt(1 + m + m^2), m = max(||B_1||, ||B_2||). The
    upper bound of all steps together is smaller still.
    """
    there, back = there_and_back(_UPDATES, gains)
    if not monotone:
        return 1 / float(np.linalg.norm(back.total, 2)), float(np.linalg.norm(there.total, 2))
    return 1 / _ordered(back), min(_ordered(there), _joint(gains))


MOST_STEPS = 64
"""Number of steps up to which steps are bounded together."""


def _joint(gains: np.ndarray) -> float:
    """Return the bound of all steps together for monotone F, with one multiplier for each of the two fields."""
    if len(gains) > MOST_STEPS or not np.isfinite(gains).all():
        return np.inf
    form = JointForm(_UPDATES, gains, np.eye(2), [0, 1])

    def bound(logarithms: np.ndarray) -> float:
        return min(form.bound(np.tile(np.exp(logarithms), len(gains))), 1e9)

    bounds = [optimize.minimize(bound, x, method="Nelder-Mead", options={"maxiter": 60}).fun for x in STARTS]
    return min(float(value) if value < 1e9 else np.inf for value in bounds)


STARTS = np.array([[0.2, 0.1], [1.0, 0.5]])
"""Logarithms of multipliers from which the search begins."""


def _ordered(distances) -> float:
    """Return the upper bound of the map (y_0, z_0) -> (y_N, z_N) for monotone F."""
    m = float(distances.first.max())
    ordered = math.sqrt(1 + m + m * m) + float(np.linalg.norm(distances.rest, 2))
    return min(ordered, float(np.linalg.norm(distances.total, 2)))


verlet = Integrator(
    name="Verlet",
    fields=2,
    updates=_UPDATES,
    start=_start,
    finish=_finish,
    parts=2,
    limit=lambda lipschitz, norms: 2 / (lipschitz * norms[:, 0] * norms[:, 1]),
    bounds=Bounds(_UPDATES, _start, _finish, _bounds),
)
