"""What updates make of the distance of two states, as matrices of numbers."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from keras_pdecnn.ops.integrators.update import Update


class Distances:
    """Bounds of the distances of the two parts of a state after some shears, by their order in the gains of F.

    `zeroth`, `first` and `rest` are matrices (2, 2), of the terms with no, with one and with more factors F. Their sum
    times the distances of the parts before bounds those after.

    Args:
        shears: Pairs (update, gain) in their order, the gain a Lipschitz constant of what the update adds.
    """

    def __init__(self, shears: Iterable[tuple[Update, float]]):
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
        """The sum of all orders."""
        return self.zeroth + self.first + self.rest


def there_and_back(updates: tuple[Update, ...], gains: np.ndarray) -> tuple[Distances, Distances]:
    """Return the distances after all steps, and those of the way back, for gains (steps, updates)."""
    shears = [pair for step in gains for pair in zip(updates, step, strict=True)]
    return Distances(shears), Distances(shears[::-1])
