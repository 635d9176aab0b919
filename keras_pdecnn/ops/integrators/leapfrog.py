"""Leapfrog as kick and drift, of second-order networks."""

from __future__ import annotations

import numpy as np
from keras import ops

from keras_pdecnn.ops.integrators.distances import there_and_back
from keras_pdecnn.ops.integrators.integrator import Bounds, Integrator
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
    the terms up to first order are I - sum_j w_j A_j with 0 <= A_j <= g_j. Their norm is at most
    max(1, sum_j w_j g_j - 1).
    """
    there, back = there_and_back(_UPDATES, gains)
    ordered = max(1.0, float(there.first[0, 0]) - 1) + float(there.rest[0, 0])
    upper = ordered if monotone else float(there.total[0, 0])
    return 1 / float(np.linalg.norm(back.total[0])), upper


leapfrog = Integrator(
    name="leapfrog",
    fields=1,
    updates=_UPDATES,
    start=_start,
    finish=_finish,
    limit=lambda lipschitz, norms: 2 / (lipschitz**0.5 * norms[:, 0]),
    bounds=Bounds(_UPDATES, _start, _finish, _bounds),
)
