"""Leapfrog as kick and drift, of second-order networks."""

from __future__ import annotations

import numpy as np
from keras import ops
from scipy import optimize

from keras_pdecnn.ops.integrators.distances import there_and_back
from keras_pdecnn.ops.integrators.integrator import Bounds, Integrator
from keras_pdecnn.ops.integrators.joint import JointForm
from keras_pdecnn.ops.integrators.update import Factor, Update

# y_{j+1} = 2 y_j - y_{j-1} + h^2 F(theta_j, y_j) with y_{-1} = y_0 (eq. 11). With v = y_j - y_{j-1}, which is 0 at
# first, the same scheme is a kick v += h^2 F(theta, y) and a drift y += v. In this form it loses fewer digits.
_UPDATES = (
    Update(target=1, source=0, field=0, factor=Factor(power=2)),
    Update(target=0, source=1, factor=1.0),
)


def _start(y) -> tuple:
    return (y, ops.zeros_like(y))


def _finish(state: tuple):
    return state[0]


def _bounds(gains: np.ndarray, monotone: bool) -> tuple[float, float]:
    """Return bounds of the map y_0 -> y_N with v_0 = 0.

    The lower bound is that of the state (y_N, v_N), as y_N alone may be equal for two different inputs. For monotone F,
    the upper bound is the smaller one of two: that of all steps together, and that of the terms up to first order,
    I - sum_j w_j A_j with 0 <= A_j <= g_j and norm at most max(1, sum_j w_j g_j - 1), plus the others.
    """
    there, back = there_and_back(_UPDATES, gains)
    lower = 1 / float(np.linalg.norm(back.total[0]))
    if not monotone:
        return lower, float(there.total[0, 0])
    ordered = max(1.0, float(there.first[0, 0]) - 1) + float(there.rest[0, 0])
    return lower, ordered if ordered == 1 else min(ordered, _joint(gains))


def _joint(gains: np.ndarray) -> float:
    """Return the bound of all steps together for monotone F.

    With the multipliers t_j = N - j, the form of `JointForm` is ||d||^2 - sum_jk (2 w_j / a_j [j = k] - min(w_j,
    w_k)^2) <g_j, g_k> with w_j = N - j. If the matrix of the sum is positive semidefinite, the map is non-expansive.
    Otherwise larger multiples of these multipliers may give a bound above 1.
    """
    steps = len(gains)
    if steps > MOST_STEPS or not np.isfinite(gains).all():
        return np.inf
    form, weights = JointForm(_UPDATES, gains, np.array([[1.0], [0.0]]), [0]), np.arange(steps, 0.0, -1.0)
    if form.bound(weights) < np.inf:
        return 1.0
    if steps > MOST_SEARCHED:
        return np.inf
    # By hand, as a search by slopes would stop where there is no bound.
    factors = 1 + np.geomspace(1e-6, 100, 33)
    values = [form.bound(factor * weights) for factor in factors]
    best = int(np.argmin(values))
    around = factors[max(0, best - 1)], factors[min(len(factors) - 1, best + 1)]
    refined = optimize.minimize_scalar(
        lambda factor: min(form.bound(factor * weights), 1e9), bounds=around, method="bounded", options={"maxiter": 30}
    )
    return min(values[best], float(refined.fun))


MOST_STEPS, MOST_SEARCHED = 500, 64
"""Numbers of steps up to which steps are bounded together, and multipliers are searched for."""


def nonexpansive_gain(steps: int) -> float:
    """Return the largest gain a for which N steps with h^2 L ||K||^2 <= a are proved to be non-expansive.

    a = 2 / max eigenvalue of the matrix with entries min(w_j, w_k)^2 / sqrt(w_j w_k),   w_j = N - j

    It is 2 for one step, 0.85 for two, and between 3.38 / N^2 and 5.7 / N^2 for more.
    """
    weights = np.arange(steps, 0.0, -1.0)
    matrix = np.minimum.outer(weights, weights) ** 2 / np.sqrt(np.outer(weights, weights))
    return 2 / float(np.linalg.eigvalsh(matrix)[-1])


leapfrog = Integrator(
    name="leapfrog",
    fields=1,
    updates=_UPDATES,
    start=_start,
    finish=_finish,
    limit=lambda lipschitz, norms: 2 / (lipschitz**0.5 * norms[:, 0]),
    bounds=Bounds(_UPDATES, _start, _finish, _bounds),
)
