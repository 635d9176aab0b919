"""Time integrators, written as updates of a state.

A state is a tuple of tensors. One step is a sequence of updates; each adds to one part of the state, its target, a
multiple of F or of the identity applied to one part, its source, and may scale the target before. An update whose
source is another part than its target can be undone, and an integrator that consists of such updates is reversible.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from keras_pdecnn.ops.integrators.update import Update
from keras_pdecnn.utils import arguments


@dataclass(frozen=True)
class Bounds:
    """Lipschitz bounds of a method, for the updates, the start and the finish that they are proved for.

    Attributes:
        updates, start, finish: Those of the integrator.
        evaluate: Function (gains, monotone) -> (lower, upper). `gains` holds, for every step and update, the Lipschitz
            constant of what the update adds: an array (steps, updates). `monotone` says whether every F is minus the
            gradient of a convex function.
    """

    updates: tuple[Update, ...]
    start: Callable
    finish: Callable
    evaluate: Callable[[np.ndarray, bool], tuple[float, float]]


@dataclass(frozen=True)
class Integrator:
    """A one-step method, with its start from the features y and its way back to them.

    Attributes:
        name: Name of the method.
        fields: Number of right-hand sides that a step evaluates, each with weights of its own.
        updates: The updates of one step, in order.
        start: Function y -> state.
        finish: Function state -> y.
        parts: Number of parts of the state that the channels of y are divided over; default 1.
        limit: Function (L, norms) -> largest step sizes (steps,) with the symmetric layer. L is the Lipschitz constant
            of the activation, and norms (steps, fields) holds the norms of the kernels, an array or a tensor, see
            `stability.step_limit`. Default None: no limit is known, and blocks refuse `step_size="auto"`.
        is_nonexpansive: Whether it is proved that steps up to the limit, with a provable normalisation, never enlarge a
            distance. Default False: the limit is that of a linearisation, which guarantees nothing.
        bounds: `Bounds` of the distance of two outputs; default None: nothing is claimed. They are not used for an
            integrator with other updates than those they were proved for.

    Raises:
        ValueError: If there is no update, an update names a right-hand side that does not exist, or a right-hand side
            is in no update.

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
    bounds: Bounds | None = field(default=None, compare=False)

    def __post_init__(self):
        arguments.check_positive_integer("fields", self.fields)
        arguments.check_positive_integer("parts", self.parts)
        updates = tuple(self.updates)
        if not updates or not all(isinstance(update, Update) for update in updates):
            raise ValueError(f"updates must be a sequence of at least one Update. Received: updates={self.updates!r}")
        object.__setattr__(self, "updates", updates)
        used = {update.field for update in updates if update.field is not None}
        if used != set(range(self.fields)):
            raise ValueError(
                f"The updates must use every right-hand side 0 … {self.fields - 1} and no other. "
                f"Received: fields={self.fields}, updates with field={sorted(used)}"
            )

    @property
    def is_reversible(self) -> bool:
        """Whether every update is invertible, so that a step can be undone."""
        return all(update.is_invertible for update in self.updates)

    def step(self, F: Callable, h, state: tuple, j=0) -> tuple:
        """Advance the state by one step of size h, the step with index j."""
        parts = list(state)
        for update in self.updates:
            update.apply(F, h, parts, j)
        return tuple(parts)

    def undo(self, F: Callable, h, state: tuple, j=0) -> tuple:
        """Go back by the step with index j: the updates in the opposite order, each undone."""
        parts = list(state)
        for update in reversed(self.updates):
            update.undo(F, h, parts, j)
        return tuple(parts)

    def check_state(self, state: tuple):
        """Raise ValueError if an update names a part that the state does not have."""
        last = max(max(update.target, update.source) for update in self.updates)
        if last >= len(state):
            raise ValueError(
                f"The updates of {self.name} name part {last} of the state, whose parts are 0 … {len(state) - 1}. "
                f"Received: a state of {len(state)} parts from start"
            )

    def check_reversible(self):
        """Raise ValueError if the method cannot be run backwards."""
        if not self.is_reversible:
            raise ValueError(
                "Only an integrator whose updates are invertible can be run backwards. "
                f"Received: integrator={self.name!r}"
            )

    def check_bounds(self) -> Bounds:
        """Return the bounds; raise ValueError if none are proved for the updates, the start and the finish."""
        bounds = self.bounds
        if bounds is None or (bounds.updates, bounds.start, bounds.finish) != (self.updates, self.start, self.finish):
            raise ValueError(
                "Lipschitz bounds are proved for forward Euler, Verlet and leapfrog alone: a user-defined integrator "
                f"may add something that enlarges distances. Received: integrator={self.name!r}"
            )
        return bounds

    def lipschitz_bounds(self, h: float, constants: np.ndarray, monotone: bool) -> tuple[float, float]:
        """Return bounds (lower, upper) of ||y_N - y'_N|| / ||y_0 - y'_0|| for two inputs.

        Args:
            h: Step size.
            constants: Lipschitz constants of F, shape (steps, fields).
            monotone: Whether every F is minus the gradient of a convex function.

        Raises:
            ValueError: If no bounds are proved for this method.
        """
        bounds = self.check_bounds()
        gains = [
            abs(update.factor(h)) * (np.ones(len(constants)) if update.field is None else constants[:, update.field])
            for update in self.updates
        ]
        return bounds.evaluate(np.stack(gains, axis=1), monotone)
