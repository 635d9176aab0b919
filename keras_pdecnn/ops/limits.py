"""The largest step sizes that the theory of an integrator allows, from the norms of the kernels and the activation."""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np
from keras import ops

from keras_pdecnn.ops import exact
from keras_pdecnn.ops.fields import Field
from keras_pdecnn.ops.integrators import Integrator
from keras_pdecnn.ops.norms import norm_bound
from keras_pdecnn.ops.row_sums import with_row_sums
from keras_pdecnn.ops.theta import Theta
from keras_pdecnn.utils.arguments import describe

LIPSCHITZ: dict[Callable, float] = {
    keras.activations.linear: 1.0,
    keras.activations.relu: 1.0,
    keras.activations.relu6: 1.0,
    keras.activations.leaky_relu: 1.0,
    keras.activations.elu: 1.0,
    keras.activations.celu: 1.0,
    keras.activations.selu: 1.7581,  # 1.67326… * 1.05070…, rounded up
    keras.activations.softplus: 1.0,
    keras.activations.softsign: 1.0,
    keras.activations.soft_shrink: 1.0,
    keras.activations.tanh: 1.0,
    keras.activations.hard_tanh: 1.0,
    keras.activations.sigmoid: 1 / 4,
    keras.activations.hard_sigmoid: 1 / 6,
    keras.activations.log_sigmoid: 1.0,
}
"""Lipschitz constants L of the activations that the theory covers: non-decreasing, with their default arguments."""

BELOW = 1 - 1e-5
"""Fraction of the limit that squared norms take with one step size per filter: it leaves room for rounding errors."""

SAFETY = 0.9
"""Fraction of the limit that an automatic step size takes."""


def lipschitz(activation: Callable) -> float:
    """Return the Lipschitz constant L of an activation.

    Raises:
        ValueError: If the activation is not in `LIPSCHITZ`.
    """
    # Only the functions themselves count: nothing is known about a layer or a partial function made from one of them.
    for function, constant in LIPSCHITZ.items():
        if activation is function:
            return constant
    known = ", ".join(function.__name__ for function in LIPSCHITZ)
    name = getattr(activation, "__name__", repr(activation))
    raise ValueError(f"the activation must be one of the non-decreasing functions {known}. Received: activation={name}")


def field_lipschitz(field: Field) -> float:
    """Return the Lipschitz constant L of u -> sigma(N(u)) that step limits are computed with.

    It belongs to the kernels that `effective_kernel` of the normalisation returns. For "tv" it is the constant of the
    activation alone, without the normalisation.

    Raises:
        ValueError: If the activation is not in `LIPSCHITZ`.
    """
    return field.sigma_of_n.lipschitz(lipschitz(field.activation))


def known_limit(integrator: Integrator, field: Field) -> Callable | None:
    """Return the `limit` of an integrator, or None if it has none or the layer is not the symmetric one."""
    return integrator.limit if field.symmetric else None


def limits(integrator: Integrator, field: Field, norms):
    """Return the largest step size of each step that the theory of an integrator allows, shape (steps,).

    Args:
        integrator: Time integrator.
        field: Right-hand side.
        norms: Upper bounds of the norms of the kernels that `effective_kernel` of the normalisation returns, an array
            or a tensor of shape (steps, fields).

    Raises:
        ValueError: If no limit is known for this integrator and layer, or the activation is not in `LIPSCHITZ`.
    """
    limit = known_limit(integrator, field)
    if limit is None:
        layer = "symmetric" if field.symmetric else "general"
        raise ValueError(
            f"no step limit is known for the {layer} layer with this integrator. "
            f"Received: integrator={integrator.name!r}"
        )
    return limit(field_lipschitz(field), norms)


def automatic_step(integrator: Integrator, field: Field, theta: Theta, maximum: float, max_gain: float | None = None):
    """Return h = min(maximum, 0.9 min_j limit_j), a scalar tensor through which no gradient passes.

    The limits are those of `limits`, with the norms of `norm_bound`. Up to the tolerance of that bound, they are no
    larger than the limits of `stability.step_limit`.

    Args:
        integrator: Time integrator.
        field: Right-hand side.
        theta: Weights stacked in time.
        maximum: Upper bound of h.
        max_gain: Upper bound of the gain |f| L ||K||^2 of every update that evaluates F, where f = c h^p is the factor
            of the update; default None, no bound.
    """
    kernel = ops.stop_gradient(field.sigma_of_n.effective_kernel(theta))
    norms = norm_bound(kernel, axes=len(kernel.shape) - 4)
    h = exact.minimum(SAFETY * ops.min(limits(integrator, field, norms)), maximum)
    if max_gain is not None:
        for update in integrator.updates:
            if update.field is not None:
                coefficients = ops.cast(update.factor.coefficients(theta.steps), norms.dtype)
                gains = field_lipschitz(field) * norms[:, update.field] ** 2 * coefficients
                h = exact.minimum(h, (max_gain / ops.max(gains)) ** (1 / update.factor.power))
    return ops.cast(h, kernel.dtype)


def per_filter_theta(field: Field, theta: Theta) -> Theta:
    """Return theta with the kernels T^(-1/2) K, whose squared norms are at most 2 / L: the largest step size is 1.

    T is the diagonal matrix of L / 2 times the sums of `ops.row_sums`. Gradients pass through it.

    Args:
        field: Right-hand side.
        theta: Weights stacked in time.
    """
    kernel = theta["kernel"]
    scaled = with_row_sums(kernel, len(kernel.shape) - 4, BELOW * 2 / field_lipschitz(field))
    return Theta({**theta, "kernel": scaled})


def per_filter_step(
    integrator: Integrator, field: Field, steps: int, maximum: float, max_gain: float | None = None
) -> float:
    """Return h = min(maximum, limit) for kernels of `per_filter_theta`, a number that does not depend on the weights.

    Args:
        integrator: Time integrator.
        field: Right-hand side.
        steps: Number of steps.
        maximum: Upper bound of h.
        max_gain: Upper bound of the gain of every update, see `automatic_step`; default None, no bound.
    """
    squared = 2 / field_lipschitz(field)
    h = min(maximum, *limits(integrator, field, np.full((1, integrator.fields), squared**0.5)).tolist())
    if max_gain is not None:
        for update in integrator.updates:
            if update.field is not None:
                gain = field_lipschitz(field) * squared * float(np.max(update.factor.coefficients(steps)))
                h = min(h, (max_gain / gain) ** (1 / update.factor.power))
    return h


def check_gain(integrator: Integrator, steps: int, max_gain: float):
    """Raise ValueError if no step size that keeps the gains of all updates below `max_gain` can be computed."""
    for update in integrator.updates:
        factor = update.factor
        is_power = factor is not None and factor.power and factor.coefficients(steps) is not None
        if update.field is not None and not is_power:
            raise ValueError(
                "max_gain needs an integrator in which every update that evaluates F has a factor c h^p with p >= 1, "
                "for example Factor(0.5, 2). "
                f"Received: max_gain={describe(max_gain)} for {integrator.name}, with the factor "
                f"{factor!r}"
            )
