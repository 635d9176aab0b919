"""The elements of a time integrator: updates of a state, and their factors as functions of the step size."""

from __future__ import annotations

import inspect
import math
import numbers
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from keras import backend, ops

from keras_pdecnn.ops.backend import primitives
from keras_pdecnn.utils.arguments import describe

_TRIED = (0.5, 1.0, 2.0, 4.0)  # Step sizes at which a function of h is compared with c h^p.


def _takes_two(function: Callable) -> bool:
    """Return whether a function has exactly two positional arguments without a default."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return False
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return sum(p.kind in kinds and p.default is inspect.Parameter.empty for p in parameters) == 2


def _is_finite(value) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool) and math.isfinite(value)


def _is_one(value) -> bool:
    # A scalar tensor has no truth value in a graph.
    return isinstance(value, numbers.Real) and value == 1


@dataclass(frozen=True)
class Factor:
    """The factor c h^p w(j) of an `Update`, with the step size h and the index j = 0 … N-1 of the step.

    Attributes:
        coefficient: Coefficient c, a finite number; default 1.
        power: Power p of the step size, an integer of at least 0; default 1.
        weight: Function w of the step index j; default None, which means 1 at every step.

    Raises:
        ValueError: If the coefficient is not a finite number, the power is not an integer of at least 0, or the weight
            is not a function.

    Example:
        >>> Factor(0.5, 2)(0.1) == 0.5 * 0.1 * 0.1
        True
    """

    coefficient: float = 1.0
    power: int = 1
    weight: Callable | None = None

    def __post_init__(self):
        if not _is_finite(self.coefficient):
            raise ValueError(f"coefficient must be a finite number. Received: coefficient={describe(self.coefficient)}")
        if isinstance(self.power, bool) or not isinstance(self.power, numbers.Integral) or self.power < 0:
            raise ValueError(f"power must be an integer of at least 0. Received: power={describe(self.power)}")
        if self.weight is not None and not callable(self.weight):
            raise ValueError(f"weight must be a function of the step index. Received: weight={describe(self.weight)}")

    def __call__(self, h, j=0):
        """Return the factor for the step size h, a number or a scalar tensor, and the step index j."""
        value = self.coefficient
        for _ in range(self.power):
            value = value * h
        return value if self.weight is None else value * self.weight(j)

    def coefficients(self, steps: int) -> np.ndarray:
        """Return |c w(j)| for j = 0 … steps - 1, a float64 array of shape (steps,)."""
        weights = [1.0 if self.weight is None else float(self.weight(j)) for j in range(steps)]
        return np.abs(self.coefficient * np.array(weights))


class FunctionFactor:
    """A factor that is a function of h, or of h and the step index j, for example `lambda h: -h`.

    If the function has the form c h^p, evaluations at a few step sizes show its `power` and `coefficients`.

    Args:
        function: Function of h, or of h and j.
    """

    def __init__(self, function: Callable):
        self._function = function
        self._takes_index = _takes_two(function)

    def __eq__(self, other) -> bool:
        return isinstance(other, FunctionFactor) and self._function is other._function

    def __hash__(self) -> int:
        return hash(self._function)

    def __call__(self, h, j=0):
        return self._function(h, j) if self._takes_index else self._function(h)

    @property
    def power(self) -> int | None:
        """Power p of a function c h^p; None for other functions."""
        monomial = self._monomial(0)
        return None if monomial is None else monomial[1]

    def coefficients(self, steps: int) -> np.ndarray | None:
        """Return |c| for j = 0 … steps - 1, a float64 array of shape (steps,); None if the function is not c h^p."""
        monomials = [self._monomial(j) for j in range(steps if self._takes_index else 1)]
        if any(monomial is None or monomial[1] != self.power for monomial in monomials):
            return None
        return np.broadcast_to(np.array([abs(monomial[0]) for monomial in monomials if monomial]), (steps,))

    def _monomial(self, j: int) -> tuple[float, int] | None:
        """Return (c, p) if the function is c h^p for this step index, otherwise None."""
        try:
            values = [float(self(h, j)) for h in _TRIED]
        except (TypeError, ValueError, ArithmeticError):
            return None
        c = values[1]
        if c == 0 or not all(math.isfinite(value) and value / c > 0 for value in values):
            return None
        p = round(math.log2(values[2] / c))
        fits = all(math.isclose(value, c * h**p, rel_tol=1e-9) for h, value in zip(_TRIED, values, strict=True))
        return (c, p) if fits and p >= 0 else None


class StateUpdate:
    """One update of a time integrator, state[target] = scale state[target] + increment(state[source]).

    A subclass has the attributes below, and the method `increment`.

    Attributes:
        target: Index of the part of the state that changes.
        source: Index of the part from which the increment is computed.
        field: Index of the right-hand side that the increment evaluates; None if it evaluates none.
        factor: Factor of the increment, a `Factor` or a `FunctionFactor`; None if it is no multiple of one value of F.

    Example:
        >>> isinstance(keras_pdecnn.ops.heun.updates[0], StateUpdate)
        True
    """

    target: int
    source: int
    field: int | None
    factor: Any = None

    @property
    def is_invertible(self) -> bool:
        """Whether the update can be undone: its increment does not depend on the part that it changes."""
        return self.target != self.source

    def check_field(self, field):
        """Raise ValueError if the update cannot be computed for a right-hand side, a `Field`; the base accepts all."""

    def increment(self, F: Callable, h, x, j=0):
        """Return what the update adds to its target.

        Args:
            F: Function (field, x, factor) -> factor * F(theta_field, x).
            h: Step size.
            x: Part of the state with the index `source`.
            j: Index of the step; default 0.
        """
        raise NotImplementedError

    def value_and_pull_back(self, F, h, x, w, j=0) -> tuple:
        """Compute the increment and pull a cotangent back through it.

        Args:
            F: Right-hand side with the weights of one time, a `BoundField`.
            h: Step size.
            x: Part of the state with the index `source`.
            w: Cotangent of the increment.
            j: Index of the step; default 0.

        Returns:
            The increment, its gradient with respect to x, and a dict of the gradients of the weights with keys (name,
            index of the field).
        """
        keys = [(name, index) for name, weights in F.theta.items() for index in range(len(weights))]

        def evaluate(inputs):
            x, *flat = inputs
            theta = {name: list(weights) for name, weights in F.theta.items()}
            for (name, index), weight in zip(keys, flat, strict=True):
                theta[name][index] = weight
            return self.increment(F.with_weights(theta), h, x, j)

        value, pull_back = primitives.vjp(evaluate, (x, *(F.theta[name][index] for name, index in keys)))
        of_x, *of_weights = pull_back(w)
        return value, of_x, dict(zip(keys, of_weights, strict=True))

    def scaled(self, h, x, j=0):
        """Return scale * x; the base has a scale of 1."""
        del h, j
        return x

    def unscaled(self, h, x, j=0):
        """Return x / scale; the base has a scale of 1."""
        del h, j
        return x

    def apply(self, F: Callable, h, state: list, j=0):
        """Apply the update to a state, in place."""
        increment = self.increment(F, h, state[self.source], j)
        state[self.target] = self.scaled(h, state[self.target], j) + increment

    def undo(self, F: Callable, h, state: list, j=0):
        """Undo the update on a state, in place."""
        increment = self.increment(F, h, state[self.source], j)
        state[self.target] = self.unscaled(h, state[self.target] - increment, j)


@dataclass(frozen=True)
class Update(StateUpdate):
    """One update of a time integrator, state[target] = scale state[target] + factor F(theta_field, state[source]).

    Without `field`, the identity takes the place of F. If source and target are different parts of the state, the
    update can be undone: subtract the same increment, then divide by the scale. With a scale of 1 it is a shear.

    Attributes:
        target: Index of the part of the state that changes.
        source: Index of the part from which the increment is computed.
        field: Index of the right-hand side F; default None, the identity.
        factor: Factor of the increment: a `Factor`, a number, or a function of h or of h and the step index j. Default
            `Factor()`, the step size h.
        scale: Factor of the target: a `Factor`, a number, or a function of h or of h and j, never 0; default 1.

    Raises:
        ValueError: If an index is not an integer of at least 0, factor or scale is of another kind, or scale is 0.

    Example:
        >>> Update(target=0, source=1, field=0).is_invertible  # state[0] += h F(state[1])
        True
        >>> damping = Update(target=1, source=0, field=0, factor=Factor(1.0, 2), scale=lambda h: 1 - 0.1 * h)
        >>> damping.is_invertible, damping.is_shear
        (True, False)
    """

    target: int
    source: int
    field: int | None = None
    factor: Any = Factor()
    scale: Any = 1.0

    def __post_init__(self):
        for name in ("target", "source", "field"):
            index = getattr(self, name)
            if name == "field" and index is None:
                continue
            if isinstance(index, bool) or not isinstance(index, numbers.Integral) or index < 0:
                raise ValueError(
                    f"{name} must be an index, an integer of at least 0. Received: {name}={describe(index)}"
                )
        object.__setattr__(self, "factor", _to_factor("factor", self.factor))
        object.__setattr__(self, "scale", _to_factor("scale", self.scale))
        if isinstance(self.scale, Factor) and self.scale.coefficient == 0:
            raise ValueError("scale must not be 0, as the update would erase its target. Received: scale=0")

    @property
    def is_shear(self) -> bool:
        """Whether the update is invertible and does not scale its target."""
        return self.is_invertible and self.scale == Factor(1.0, 0)

    def increment(self, F: Callable | None, h, x, j=0):
        """Return what the update adds to its target.

        Args:
            F: Function (field, x, factor) -> factor * F(theta_field, x). To pass the factor costs less than to scale
                the result. None stands for the identity.
            h: Step size.
            x: Part of the state with the index `source`.
            j: Index of the step; default 0.
        """
        factor = self.factor_at(h, x, j)
        if self.field is None or F is None:
            return x if _is_one(factor) else factor * x
        return F(self.field, x, factor)

    def value_and_pull_back(self, F, h, x, w, j=0) -> tuple:
        """Compute the increment and pull a cotangent back through it, see `StateUpdate`."""
        if self.field is None:
            return self.increment(None, h, x, j), self.increment(None, h, w, j), {}
        return F.value_and_pull_back(self.field, x, w, self.factor_at(h, x, j))

    def factor_at(self, h, x, j=0):
        """Return the factor at step j, in the type of the features x where j is a tensor."""
        return self.factor(h, self._index(j, x))

    def scaled(self, h, x, j=0):
        """Return scale * x."""
        scale = self.scale(h, self._index(j, x))
        return x if _is_one(scale) else scale * x

    def unscaled(self, h, x, j=0):
        """Return x / scale."""
        scale = self.scale(h, self._index(j, x))
        return x if _is_one(scale) else x / scale

    @staticmethod
    def _index(j, x):
        """Return the step index as a number, or as a scalar tensor of the type of the features x."""
        return j if isinstance(j, int) else ops.cast(j, backend.standardize_dtype(x.dtype))


def _to_factor(name: str, value) -> Factor | FunctionFactor:
    if isinstance(value, Factor | FunctionFactor):
        return value
    if _is_finite(value):
        return Factor(float(value), 0)
    if not callable(value):
        raise ValueError(
            f"{name} must be a Factor, a finite number, or a function of h or of h and j. "
            f"Received: {name}={describe(value)}"
        )
    return FunctionFactor(value)
