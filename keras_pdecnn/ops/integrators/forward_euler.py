"""Forward Euler, of parabolic and residual networks."""

from __future__ import annotations

import numpy as np

from keras_pdecnn.ops.integrators.integrator import Bounds, Integrator
from keras_pdecnn.ops.integrators.update import Update

# y += h F(theta, y) (eq. 5). Source and target are one part: the step cannot be undone.
_UPDATES = (Update(target=0, source=0, field=0),)


def _start(y) -> tuple:
    return (y,)


def _finish(state: tuple):
    return state[0]


def _bounds(gains: np.ndarray, monotone: bool) -> tuple[float, float]:
    """Return the products over all steps of the bounds of one step, with g the gain of the step.

    If F is monotone, its values at two inputs differ by -K^T D K times the difference of the inputs, where D is
    symmetric with eigenvalues from 0 to L. Then a step multiplies distances by at least max(0, 1 - g) and at most
    max(1, g - 1). Otherwise it multiplies them by at most 1 + g.
    """
    upper = np.maximum(1, gains - 1) if monotone else 1 + gains
    return float(np.prod(np.maximum(0, 1 - gains))), float(np.prod(upper))


forward_euler = Integrator(
    name="forward Euler",
    fields=1,
    updates=_UPDATES,
    start=_start,
    finish=_finish,
    limit=lambda lipschitz, norms: 2 / (lipschitz * norms[:, 0] ** 2),
    is_nonexpansive=True,
    bounds=Bounds(_UPDATES, _start, _finish, _bounds),
)
