"""One step backwards, with its gradient.

The update x1 = s x1 + f F(x0) is undone by x1 = (x1 - f F(x0)) / s. With w the cotangent of the state, its gradient is
w0 += f F'(x0)^T w1, then w1 = s w1. A single evaluation of F serves both.
"""

from __future__ import annotations

import functools
import operator
from typing import Any

from keras import ops

from keras_pdecnn.ops.backend import primitives
from keras_pdecnn.ops.fields import BoundField, Field
from keras_pdecnn.ops.integrators import Integrator


def undo_and_pull_back(integrator: Integrator, field: Field, theta: dict, h, state, cotangent, j) -> tuple:
    """Undo one step; return the state and the cotangent before it, and the gradients of the weights of the step.

    Args:
        integrator: Time integrator, all of whose updates are invertible.
        field: Right-hand side.
        theta: Weights of the step, for each name a tensor with the fields on axis 0.
        h: Step size.
        state: State after the step.
        cotangent: Cotangent of the state after the step.
        j: Index of the step.
    """
    state, cotangent = list(state), list(cotangent)
    weights = {name: ops.unstack(weight) for name, weight in theta.items()}
    bound = BoundField(field, weights)
    gradients: dict[tuple[str, int], Any] = {}
    for update in reversed(integrator.updates):
        x, w = state[update.source], cotangent[update.target]
        increment, of_x, of_weights = update.value_and_pull_back(bound, h, x, w, j)
        gradients |= {key: gradients.get(key, 0) + value for key, value in of_weights.items()}
        # The state waits for the cotangent. Otherwise the backend could undo many steps ahead of their gradients, and
        # would keep the temporaries of all of them.
        before = primitives.after(functools.partial(operator.sub, state[update.target], increment), of_x)
        state[update.target] = update.unscaled(h, before, j)
        # Not in place: the first cotangent belongs to the caller, and PyTorch may give the same one to others.
        cotangent[update.source] = cotangent[update.source] + of_x
        cotangent[update.target] = update.scaled(h, w, j)
    return (
        tuple(state),
        tuple(cotangent),
        {
            name: ops.stack([gradients.get((name, i), ops.zeros_like(weight)) for i, weight in enumerate(of_name)])
            for name, of_name in weights.items()
        },
    )
