"""Bounds of how updates change the distance of two states, as matrices of numbers."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from keras_pdecnn.ops.integrators.update import StateUpdate


class Distances:
    """Bounds of the distance of two states, separately for the two parts of a state, after a sequence of shears.

    `zeroth`, `first` and `rest` are 2 by 2 matrices of the terms with no factor F, with one, and with more than one.
    Multiplied by the distances of the two parts before the shears, their sum bounds the distances after them.

    Args:
        shears: Pairs (update, gain) in order, where the gain is a Lipschitz constant of what the update adds.
    """

    def __init__(self, shears: Iterable[tuple[StateUpdate, float]]):
        self.zeroth, self.first, self.rest = np.eye(2), np.zeros((2, 2)), np.zeros((2, 2))
        for update, gain in shears:
            target, source = update.target, update.source
            if update.field is None:
                for part in (self.zeroth, self.first, self.rest):
                    part[target] += gain * part[source]
            else:
                self.rest[target] += gain * (self.first[source] + self.rest[source])
                self.first[target] += gain * self.zeroth[source]

    @property
    def total(self) -> np.ndarray:
        """Sum of the terms of all orders."""
        return self.zeroth + self.first + self.rest


def there_and_back(updates: tuple[StateUpdate, ...], gains: np.ndarray) -> tuple[Distances, Distances]:
    """Return the bounds for all steps forwards and for all steps backwards, for gains of shape (steps, updates)."""
    shears = [pair for step in gains for pair in zip(updates, step, strict=True)]
    return Distances(shears), Distances(shears[::-1])
