"""Time integrators, written as updates of a state.

A state is a tuple of tensors. One step is a sequence of updates; each adds to one part of the state, its target, a
multiple of F or of the identity applied to one part, its source. An update whose source is another part than its target
is a shear: it is undone by subtracting the same increment. An integrator that consists of shears is reversible.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from keras import ops


def _once(h):
    return h


@dataclass(frozen=True)
class Update:
    """The update state[target] += factor(h) F(theta_field, state[source]), or without F if `field` is None.

    Attributes:
        target: Index of the part of the state that is changed.
        source: Index of the part that the increment is computed from.
        field: Index of the right-hand side F; default None, the identity.
        factor: Function h -> number; default h itself.

    Example:
        >>> Update(target=0, source=1, field=0).is_shear
        True
    """

    target: int
    source: int
    field: int | None = None
    factor: Callable = _once

    @property
    def is_shear(self) -> bool:
        """Whether the update can be undone by subtracting its increment."""
        return self.target != self.source

    def increment(self, F: Callable, h, x):
        """Return what is added; F(field, x, factor) is factor * F(theta_field, x), cheaper than scaling afterwards."""
        factor = self.factor(h)
        if self.field is None:
            return x if factor == 1 else factor * x
        return F(self.field, x, factor)


@dataclass(frozen=True)
class Integrator:
    """A one-step method, with its start from the features y and its way back to them.

    Attributes:
        name: Name of the method.
        fields: Number of right-hand sides that a step evaluates, each with weights of its own.
        updates: The updates of one step, in order.
        start: Function y -> state.
        finish: Function state -> y.
        parts: The channels of y are divided over this many parts of the state; default 1.
        limit: Function (L, norms) -> largest step sizes (steps,) with the symmetric layer, L the Lipschitz constant of
            its activation, norms (steps, fields) those of its kernels, an array or a tensor, see
            `stability.step_limit`; default None, no limit is known and "auto" is no step size.
        is_nonexpansive: Whether it is proved that steps up to the limit, with a provable normalisation, never enlarge a
            distance; default False, the limit is that of a linearisation, which guarantees nothing.

    Example:
        >>> [integrator.is_reversible for integrator in (forward_euler, verlet, leapfrog)]
        [False, True, True]
    """

    name: str
    fields: int
    updates: tuple[Update, ...]
    start: Callable
    finish: Callable
    parts: int = 1
    limit: Callable | None = None
    is_nonexpansive: bool = False

    @property
    def is_reversible(self) -> bool:
        """Whether every update is a shear, so that a step can be undone."""
        return all(update.is_shear for update in self.updates)

    @property
    def power(self) -> int:
        """The power of h that F is multiplied by: 2 for leapfrog, otherwise 1."""
        return next(round(math.log2(abs(update.factor(2)))) for update in self.updates if update.field is not None)

    def step(self, F: Callable, h, state: tuple) -> tuple:
        """Advance the state by one step of size h."""
        parts = list(state)
        for update in self.updates:
            parts[update.target] = parts[update.target] + update.increment(F, h, parts[update.source])
        return tuple(parts)

    def undo(self, F: Callable, h, state: tuple) -> tuple:
        """Go back by one step: the same increments in the opposite order, subtracted."""
        parts = list(state)
        for update in reversed(self.updates):
            parts[update.target] = parts[update.target] - update.increment(F, h, parts[update.source])
        return tuple(parts)


forward_euler = Integrator(
    # y += h F(theta, y) (eq. 5). No shear: it cannot be undone.
    name="forward Euler",
    fields=1,
    updates=(Update(target=0, source=0, field=0),),
    start=lambda y: (y,),
    finish=lambda state: state[0],
    limit=lambda lipschitz, norms: 2 / (lipschitz * norms[:, 0] ** 2),
    is_nonexpansive=True,
)

verlet = Integrator(
    # y += h F(theta1, z), then z -= h F(theta2, y) (eq. 10). The first half of the channels is y, the second z.
    name="Verlet",
    fields=2,
    updates=(
        Update(target=0, source=1, field=0),
        Update(target=1, source=0, field=1, factor=lambda h: -h),
    ),
    start=lambda y: tuple(ops.split(y, 2, axis=-1)),
    finish=lambda state: ops.concatenate(state, axis=-1),
    limit=lambda lipschitz, norms: 2 / (lipschitz * norms[:, 0] * norms[:, 1]),
    parts=2,
)

leapfrog = Integrator(
    # y_{j+1} = 2 y_j - y_{j-1} + h^2 F(theta_j, y_j) with y_{-1} = y_0 (eq. 11), as kick v += h^2 F(theta, y) and
    # drift y += v with v = y_j - y_{j-1}, at first 0: the same scheme, which loses fewer digits.
    name="leapfrog",
    fields=1,
    updates=(
        Update(target=1, source=0, field=0, factor=lambda h: h * h),
        Update(target=0, source=1, factor=lambda h: 1),
    ),
    start=lambda y: (y, ops.zeros_like(y)),
    finish=lambda state: state[0],
    limit=lambda lipschitz, norms: 2 / (lipschitz**0.5 * norms[:, 0]),
)
