"""The coupling of McCallum and Foster, which makes any explicit step reversible."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from keras_pdecnn.ops.integrators.integrator import Integrator
from keras_pdecnn.ops.integrators.update import StateUpdate, Update
from keras_pdecnn.utils import arguments


@dataclass(frozen=True)
class CoupledUpdate(StateUpdate):
    """The update of one part by what an explicit step of size s h would change another one, state[target] += s Psi_sh.

    Psi_h(x) is the step of size h from x, minus x.

    Attributes:
        step: Update of one part, which the other part stands for.
        sign: Sign s, 1 or -1.
        target: Index of the part that changes.
        source: Index of the part from which the increment is computed.

    Example:
        >>> CoupledUpdate(keras_pdecnn.ops.heun.updates[0], sign=1, target=0, source=1).is_invertible
        True
    """

    step: StateUpdate
    sign: int
    target: int
    source: int
    field: int | None = 0

    def check_field(self, field):
        """Refuse what the step refuses."""
        self.step.check_field(field)

    def increment(self, F: Callable, h, x, j=0):
        """Return s Psi_sh(x), see `StateUpdate`."""
        return self.sign * self.step.increment(F, self.sign * h, x, j)

    def value_and_pull_back(self, F, h, x, w, j=0) -> tuple:
        """Compute the increment and pull a cotangent back through it, see `StateUpdate`."""
        value, *gradients = self.step.value_and_pull_back(F, self.sign * h, x, self.sign * w, j)
        return self.sign * value, *gradients


def can_be_coupled(integrator: Integrator) -> bool:
    """Return whether an integrator has the form that `reversible` needs: a single update, of its only part."""
    first, *others = integrator.updates
    return not others and (first.target, first.source) == (0, 0) and first.scaled(1.0, 1.0) == 1.0


def reversible(integrator: Integrator, coupling: float = 0.99) -> Integrator:
    """Return a reversible integrator that is made of two copies of an explicit one (McCallum and Foster, 2024).

    y' = lambda y + (1 - lambda) z + Psi_h(z),   z' = z - Psi_{-h}(y')

    Psi_h(x) is a step of the integrator from x, minus x. Both copies start at the features, and y is the result. This
    is another map than that of the integrator: it has the same order, costs twice as much, and is stable for fewer
    step sizes. For y' = -a y and forward Euler, it is stable for h a <= 1 - lambda only. To undo a step divides y by
    lambda, so rounding errors grow by lambda^-N over N steps.

    Args:
        integrator: Integrator of one part with a single update, such as `forward_euler`, `heun` and `rk4`.
        coupling: Number lambda, above 0 and at most 1; default 0.99.

    Raises:
        ValueError: If the integrator is reversible already or has another form, or the coupling is out of range.

    Example:
        >>> reversible(keras_pdecnn.ops.forward_euler).is_reversible
        True
    """
    coupling = arguments.check_positive("coupling", coupling)
    if coupling > 1:
        raise ValueError(f"coupling must be above 0 and at most 1. Received: coupling={coupling!r}")
    if not can_be_coupled(integrator):
        raise ValueError(
            "Only an integrator with a single update, of its only part and without a scale, can be coupled with a copy "
            f"of itself. Received: integrator={integrator.name!r}"
        )

    (step,) = integrator.updates

    def start(y) -> tuple:
        (part,) = integrator.start(y)
        return part, part

    def limit(lipschitz, norms):
        return (1 - coupling) / (lipschitz * norms[:, 0] ** 2)

    relaxation = [Update(target=0, source=1, factor=1 - coupling, scale=coupling)] if coupling < 1 else []
    return Integrator(
        name=f"reversible {integrator.name}",
        fields=integrator.fields,
        updates=(
            *relaxation,
            CoupledUpdate(step, sign=1, target=0, source=1, field=step.field),
            CoupledUpdate(step, sign=-1, target=1, source=0, field=step.field),
        ),
        start=start,
        finish=lambda state: state[0],
        parts=integrator.parts,
        limit=limit if coupling < 1 and integrator.limit is not None else None,
    )
