"""Explicit Runge-Kutta methods: Heun's method of order 2 and the classical method of order 4."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from keras_pdecnn.ops.integrators.forward_euler import forward_euler
from keras_pdecnn.ops.integrators.integrator import Integrator
from keras_pdecnn.ops.integrators.update import StateUpdate


@dataclass(frozen=True)
class RungeKuttaUpdate(StateUpdate):
    """The update y += h sum_i b_i k_i with the stages k_i = F(theta, y + h sum_{l < i} a_il k_l).

    theta is constant over a step, so that all stages have the same weights.

    Attributes:
        matrix: Coefficients a_il, one row for each stage after the first, with l < i.
        weights: Coefficients b_i.
        target: Index of the part of the state that changes; default 0.
        source: Index of the part y of the stages; default 0.
        field: Index of the right-hand side F; default 0.

    Example:
        >>> RungeKuttaUpdate(matrix=((0.5,),), weights=(0.0, 1.0)).is_invertible  # the midpoint method
        False
    """

    matrix: tuple[tuple[float, ...], ...]
    weights: tuple[float, ...]
    target: int = 0
    source: int = 0
    field: int = 0

    def increment(self, F: Callable, h, x, j=0):
        """Return h sum_i b_i k_i, see `StateUpdate`."""
        del j
        stages = [F(self.field, x, h)]
        for row in self.matrix:
            stages.append(F(self.field, x + _combination(row, stages), h))
        return _combination(self.weights, stages)


def _combination(coefficients, tensors):
    return sum(c * tensor for c, tensor in zip(coefficients, tensors, strict=True) if c)


def _of_one_part(name: str, update: RungeKuttaUpdate, extent: float, is_nonexpansive: bool) -> Integrator:
    """Return an integrator that is stable for y' = -a y, a >= 0, up to h a = extent."""
    return Integrator(
        name=name,
        fields=1,
        updates=(update,),
        start=forward_euler.start,
        finish=forward_euler.finish,
        limit=lambda lipschitz, norms: extent / (lipschitz * norms[:, 0] ** 2),
        is_nonexpansive=is_nonexpansive,
    )


# y' = (y + E(E(y))) / 2 with E a step of forward Euler. So no step enlarges distances that E does not enlarge.
heun = _of_one_part("Heun's method", RungeKuttaUpdate(((1.0,),), (1 / 2, 1 / 2)), 2.0, is_nonexpansive=True)

rk4 = _of_one_part(
    "the classical Runge-Kutta method",
    RungeKuttaUpdate(((1 / 2,), (0.0, 1 / 2), (0.0, 0.0, 1.0)), (1 / 6, 1 / 3, 1 / 3, 1 / 6)),
    2.785,
    is_nonexpansive=False,
)
