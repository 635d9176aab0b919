"""The gradient modes of a propagation: what is kept in memory, and what is computed again."""

from __future__ import annotations

import math
from dataclasses import dataclass

from keras_pdecnn.ops.integrators import Integrator
from keras_pdecnn.utils import arguments


@dataclass(frozen=True)
class Stored:
    """Gradient mode "stored": keep the activations of every step, which is plain automatic differentiation.

    It works with every integrator. Its memory grows in proportion to the number of steps.

    Example:
        >>> theta = {"kernel": keras.ops.zeros((5, 1, 3, 3, 4, 4))}
        >>> euler, field = keras_pdecnn.ops.forward_euler, keras_pdecnn.ops.Field(keras.activations.relu)
        >>> state = euler.start(keras.ops.ones((1, 8, 8, 4)))
        >>> len(keras_pdecnn.ops.propagate(euler, field, theta, 0.1, state, Stored()))
        1
    """

    def check(self, integrator: Integrator):
        """Accept every integrator."""


@dataclass(frozen=True)
class Checkpointed:
    """Gradient mode "checkpointed": keep the state at regular intervals, and compute the steps between them again.

    It works with every integrator.

    Args:
        every: Number of steps between two kept states; default None, ceil(sqrt(N)) for N steps. With the default,
            memory grows like sqrt(N).
        stored_steps: Number of steps at the end whose activations are kept; default 0.

    Example:
        >>> Checkpointed().segment(steps=100), Checkpointed(every=5).segment(steps=100)
        (10, 5)
    """

    every: int | None = None
    stored_steps: int = 0

    def check(self, integrator: Integrator):
        """Accept every integrator."""

    def segment(self, steps: int) -> int:
        """Return the number of steps between two kept states, for a propagation of `steps` steps."""
        return self.every or math.isqrt(steps - 1) + 1


@dataclass(frozen=True)
class Reversible:
    """Gradient mode "reversible": keep only the last state, and undo the steps when their gradient is due.

    It needs an integrator that can be undone. Its memory does not grow with the number of steps.

    Args:
        every: Number of steps between two states that are kept in addition; default None, no such states. Undoing steps
            loses digits where the steps amplify, and a kept state limits that loss to the steps after it.
        stored_steps: Number of steps at the end whose activations are kept; default 0.

    Example:
        >>> Reversible().segment(steps=100), Reversible(every=16).segment(steps=100)
        (100, 16)
    """

    every: int | None = None
    stored_steps: int = 0

    def check(self, integrator: Integrator):
        """Raise ValueError if the integrator cannot be run backwards."""
        integrator.check_reversible()

    def segment(self, steps: int) -> int:
        """Return the number of steps between two kept states, for a propagation of `steps` steps."""
        return self.every or steps


Backprop = Stored | Checkpointed | Reversible

BACKPROPS = ("reversible", "checkpointed", "stored")
"""The names that users type."""


def backprop(name: str, checkpoint_every: int | None = None, stored_steps: int = 0) -> Backprop:
    """Return the gradient mode of a name, with its settings.

    Args:
        name: Name of the mode, "reversible", "checkpointed" or "stored".
        checkpoint_every: Number of steps between two kept states; default None, see `Checkpointed` and `Reversible`.
        stored_steps: Number of steps at the end whose activations are kept; default 0.

    Raises:
        ValueError: If the name is none of these.
    """
    arguments.check_choice("backprop", name, BACKPROPS)
    if name == "stored":
        return Stored()
    kind = Checkpointed if name == "checkpointed" else Reversible
    return kind(checkpoint_every, stored_steps)
