"""Time integrators, written as updates of a state.

A state is a tuple of tensors, its parts. One step is a sequence of updates. Each update changes one part, its target:
it may scale the target, and adds a multiple of F, or of the identity, applied to one part, its source. An update whose
source and target are different parts can be undone. An integrator whose updates can all be undone is reversible.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from keras_pdecnn.ops.integrators.update import StateUpdate
from keras_pdecnn.utils import arguments


@dataclass(frozen=True)
class Bounds:
    """Lipschitz bounds of an integrator, with the updates, the start and the finish for which they are proved.

    An integrator that differs from these in any of the three cannot use the bounds.

    Attributes:
        updates: Updates for which the bounds are proved.
        start: Function `start` for which they are proved.
        finish: Function `finish` for which they are proved.
        evaluate: Function (gains, monotone) -> (lower, upper). `gains` is an array of shape (steps, updates) with the
            Lipschitz constant of what each update adds in each step. `monotone` says whether every F is minus the
            gradient of a convex function.

    Example:
        >>> keras_pdecnn.ops.forward_euler.bounds.evaluate(np.array([[0.5]]), True)
        (0.5, 1.0)
    """

    updates: tuple[StateUpdate, ...]
    start: Callable
    finish: Callable
    evaluate: Callable[[np.ndarray, bool], tuple[float, float]]


@dataclass(frozen=True)
class Integrator:
    """A time integrator: the updates of one step, with the functions that lead from features to a state and back.

    Attributes:
        name: Name of the integrator, used in messages.
        fields: Number of right-hand sides that a step evaluates. Each has its own weights.
        updates: Sequence of `Update`, the updates of one step in order.
        start: Function y -> state, from the features at time 0 to a tuple of tensors.
        finish: Function state -> y, from a state to features.
        parts: Number of equal parts into which `start` divides the channels of y; default 1.
        limit: Function (L, norms) -> largest step sizes, of shape (steps,), for the symmetric layer. L is the Lipschitz
            constant of the activation. norms is an array or a tensor of shape (steps, fields) with bounds of the norms
            of the kernels, see `stability.step_limit`. Default None: no limit is known, and blocks refuse
            `step_size="auto"`.
        is_nonexpansive: Whether it is proved that steps up to the limit, with a provable normalisation, never enlarge
            the distance of two states; default False. The limit of a linearisation, for example, proves nothing.
        bounds: `Bounds` of the distance of two outputs; default None, no bounds are known.
        time: Function N -> time that N steps reach, in units of h; default N.

    Raises:
        ValueError: If there is no update, an update names a right-hand side that does not exist, or no update uses some
            right-hand side.

    Example:
        >>> from keras_pdecnn.ops import Update
        >>> momentum = Integrator(
        ...     name="Euler with momentum",
        ...     fields=1,
        ...     updates=[Update(target=1, source=0, field=0, scale=0.9), Update(target=0, source=1)],
        ...     start=lambda y: (y, keras.ops.zeros_like(y)),
        ...     finish=lambda state: state[0],
        ... )
        >>> momentum.is_reversible, keras_pdecnn.ops.forward_euler.is_reversible
        (True, False)
    """

    name: str
    fields: int
    updates: tuple[StateUpdate, ...]
    start: Callable
    finish: Callable
    parts: int = 1
    limit: Callable | None = None
    is_nonexpansive: bool = False
    bounds: Bounds | None = field(default=None, compare=False)
    time: Callable[[int], float] = float

    def __post_init__(self):
        arguments.check_positive_integer("fields", self.fields)
        arguments.check_positive_integer("parts", self.parts)
        updates = tuple(self.updates)
        if not updates or not all(isinstance(update, StateUpdate) for update in updates):
            raise ValueError(
                "updates must be a sequence of at least one Update. "
                f"Received: updates={arguments.describe(self.updates)}"
            )
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
        """Advance the state by the step with index j, of size h."""
        parts = list(state)
        for update in self.updates:
            update.apply(F, h, parts, j)
        return tuple(parts)

    def undo(self, F: Callable, h, state: tuple, j=0) -> tuple:
        """Undo the step with index j: each of its updates, in the opposite order."""
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
                f"Received: a state of {len(state)} parts from `start`"
            )

    def check_field(self, field):
        """Raise ValueError if an update cannot be computed for a right-hand side, a `Field`."""
        for update in self.updates:
            update.check_field(field)

    def check_reversible(self):
        """Raise ValueError if the integrator cannot be run backwards."""
        if not self.is_reversible:
            raise ValueError(
                "Only an integrator whose updates are invertible can be run backwards. "
                f"Received: integrator={self.name!r}"
            )

    def check_bounds(self) -> Bounds:
        """Return the bounds; raise ValueError if none are proved for these updates, this start and this finish."""
        bounds = self.bounds
        if bounds is None or (bounds.updates, bounds.start, bounds.finish) != (self.updates, self.start, self.finish):
            raise ValueError(
                "Lipschitz bounds are proved for forward Euler, Verlet and leapfrog alone, not for a user-defined "
                f"integrator. Received: integrator={self.name!r}"
            )
        return bounds

    def lipschitz_bounds(self, h: float, constants: np.ndarray, monotone: bool) -> tuple[float, float]:
        """Return bounds (lower, upper) of ||y_N - y'_N|| / ||y_0 - y'_0|| for two inputs.

        Args:
            h: Step size.
            constants: Lipschitz constants of F, shape (steps, fields).
            monotone: Whether every F is minus the gradient of a convex function.

        Raises:
            ValueError: If no bounds are proved for this integrator.
        """
        bounds = self.check_bounds()
        gains = [
            abs(update.factor(h)) * (np.ones(len(constants)) if update.field is None else constants[:, update.field])
            for update in self.updates
        ]
        return bounds.evaluate(np.stack(gains, axis=1), monotone)
