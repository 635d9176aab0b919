"""The ways to take the gradient of a propagation: what is kept in memory, and what is computed again."""

from __future__ import annotations

import math
from dataclasses import dataclass

from keras_pdecnn.ops.integrators import Integrator
from keras_pdecnn.utils import arguments


@dataclass(frozen=True)
class Stored:
    """Keep the activations of every step: plain automatic differentiation."""

    def check(self, integrator: Integrator):
        """Accept every integrator."""


@dataclass(frozen=True)
class Checkpointed:
    """Keep the first state of each segment of steps, and compute the other states again for their gradient.

    Args:
        every: Number of steps of a segment; default None, ceil(sqrt(N)) for N steps. Kept states and the activations of
            one segment together then grow like sqrt(N).
        stored_steps: Number of last steps whose activations are kept; default 0.
    """

    every: int | None = None
    stored_steps: int = 0

    def check(self, integrator: Integrator):
        """Accept every integrator."""

    def segment(self, steps: int) -> int:
        """Return the number of steps of a segment, for so many steps in all."""
        return self.every or math.isqrt(steps - 1) + 1


@dataclass(frozen=True)
class Reversible:
    """Keep the last state, and undo the steps for their gradient.

    Args:
        every: Number of steps after which a state is kept all the same, which bounds the loss of digits by that of so
            many steps; default None, never.
        stored_steps: Number of last steps whose activations are kept; default 0.
    """

    every: int | None = None
    stored_steps: int = 0

    def check(self, integrator: Integrator):
        """Raise ValueError if the integrator cannot be run backwards."""
        integrator.check_reversible()

    def segment(self, steps: int) -> int:
        """Return the number of steps of a segment, for so many steps in all."""
        return self.every or steps


Backprop = Stored | Checkpointed | Reversible

BACKPROPS = ("reversible", "checkpointed", "stored")
"""The names that users type."""


def backprop(name: str, checkpoint_every: int | None = None, stored_steps: int = 0) -> Backprop:
    """Return the way to take the gradient that has this name, with its settings.

    Args:
        name: "reversible", "checkpointed" or "stored".
        checkpoint_every: Number of steps between two kept states; default None, see `Checkpointed` and `Reversible`.
        stored_steps: Number of last steps whose activations are kept; default 0.

    Raises:
        ValueError: If the name is none of these.
    """
    arguments.check_choice("backprop", name, BACKPROPS)
    if name == "stored":
        return Stored()
    kind = Checkpointed if name == "checkpointed" else Reversible
    return kind(checkpoint_every, stored_steps)
