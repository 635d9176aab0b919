"""The stability report: what the theory says about each step of a network, and what is measured at given inputs."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Sequence

import keras
import numpy as np
from keras import ops
from numpy.typing import ArrayLike

from keras_pdecnn.data.checks import check_examples
from keras_pdecnn.layers import PDEBlock
from keras_pdecnn.layers.graph import Graph, block_calls
from keras_pdecnn.ops import layout
from keras_pdecnn.ops.backend import primitives
from keras_pdecnn.ops.fields import Field
from keras_pdecnn.ops.integrators import Integrator
from keras_pdecnn.ops.operator_norm import operator_norm
from keras_pdecnn.ops.propagation import trajectory
from keras_pdecnn.ops.theta import Theta
from keras_pdecnn.stability.jacobian import spectral_radius
from keras_pdecnn.stability.limits import effective_norms, limits_of_norms
from keras_pdecnn.utils import arguments


@dataclasses.dataclass(frozen=True)
class Row:
    """One row of the stability report: one step of a block, from t_{j-1} to t_j.

    `dataclasses.asdict` turns it into a dictionary.

    Attributes:
        block: Name of the block. In a nested model it is "model/block"; from the second call on, "block (call 2)".
        kind: Name of the class of the block.
        step: Number j = 1 … N of the step.
        norm_1: Certified upper bound of ||K||, or of ||K1|| for Hamiltonian and residual blocks.
        norm_2: Certified upper bound of ||K2|| for Hamiltonian and residual blocks; otherwise None.
        step_size: Step size h.
        limit: Largest step size h_max by `step_limit`. None if there is no limit: for residual blocks, integrators
            without a limit, and activations for which none is known.
        claim: Meaning of h <= h_max, "theorem" (no distance grows), "linearisation" (no guarantee) or "comparison" (no
            guarantee, as h_max is the limit of the layer without its normalisation); None if there is no limit.
        spectral_radius: Spectral radius of the Jacobian of the step at the features of x, the largest over the
            examples; None in a cheap report.
        growth: Growth ||y'_j - y_j|| / ||y'_0 - y_0|| of a random disturbance y'_0 of the features y_0 at the start of
            the block, the largest over the examples.
        energy: l2 norm ||y_j|| of the features of an example, as the root mean square over the examples.
        round_trip: Relative error of the features at the start of this step, after going to the end of the block and
            back in the types of the block. Step 1 has the error of the whole block. None if the block cannot be run
            backwards, and in a cheap report.
    """

    block: str
    kind: str
    step: int
    norm_1: float
    norm_2: float | None
    step_size: float
    limit: float | None
    claim: str | None
    spectral_radius: float | None
    growth: float
    energy: float
    round_trip: float | None

    @property
    def ratio(self) -> float | None:
        """Ratio h / h_max; None if there is no limit."""
        return None if self.limit is None else self.step_size / self.limit

    @property
    def is_passed(self) -> bool:
        """Whether h is larger than h_max."""
        return self.limit is not None and self.step_size > self.limit


def report(
    model: keras.Model,
    x: ArrayLike,
    perturbation: float = 1e-3,
    seed: int = 0,
    cheap: bool = False,
    progress: Callable[[list], Iterable] = iter,
) -> list[Row]:
    """Return the stability report of a network: norms, limits and measurements for each step of each block.

    Norms and limits follow from the weights and hold for every input. Spectral radius, growth, energy and round trip
    are measured at x and prove nothing about other inputs. The round trip is computed in the types of the block,
    everything else in float64 from the features that reach the block.

    A block that is called several times has rows for each call, as its features differ. Nested models are looked into.

    Args:
        model: Built functional or sequential model with blocks, such as those of `models`.
        x: Inputs of the model, shape (n, *space, channels). A few are enough: each step costs about 100
            Jacobian-vector products with all of them.
        perturbation: Relative size of the disturbance whose growth is measured; default 1e-3.
        seed: Seed of the disturbance and of the start vector for the eigenvalues; default 0.
        cheap: Whether to leave out spectral radius and round trip; default False.
        progress: Function from the blocks to an iterable of them, such as a progress bar; default `iter`.

    Returns:
        List of `Row`.

    Raises:
        ValueError: If the model has no blocks, x is not an input of the model, weights are not finite, or an argument
            is outside its range.

    Example:
        >>> model = keras_pdecnn.models.ParabolicCNN((8, 8, 1), classes=10, widths=(4,), steps=2)
        >>> [row.step for row in report(model, np.ones((1, 8, 8, 1)))]
        [1, 2]
    """
    perturbation = arguments.check_positive("perturbation", perturbation)
    if not block_calls(model):
        raise ValueError(
            f"model must be a Keras model with blocks among its layers. Received: model={arguments.describe(model)}"
        )
    x = check_examples(x, "x", model.input_shape[1:], np.float32)
    graph = Graph(model)
    rows = []
    # Not `predict`, which waits for all workers: a callback may call this function on one of several.
    inputs = primitives.jit(graph.block_inputs)(ops.convert_to_tensor(x))
    with primitives.in_float64():
        for call, y in progress(list(zip(graph.blocks, inputs, strict=True))):
            rows += _rows(call.layer, call.name, y, perturbation, seed, cheap)
    return rows


def passed_limits(rows: list[Row]) -> dict[str, str]:
    """Return a sentence for each block of a report that has a step larger than its limit, by the name of the block."""
    texts = {}
    for block in dict.fromkeys(row.block for row in rows if row.is_passed):
        passed = [row for row in rows if row.block == block and row.is_passed]
        steps = ", ".join(str(row.step) for row in passed)
        largest = max(row.ratio for row in passed if row.ratio is not None)
        texts[block] = f"{block} has h up to {largest:.3g} h_max, in steps {steps}: {_PASSED[passed[0].claim]}."
    return texts


_PASSED: dict[str | None, str] = {
    "theorem": "these steps may enlarge the distance of two inputs",
    "linearisation": "a linearisation may be unstable there (below h_max, nothing would be guaranteed either)",
    "comparison": "h_max is that of the block without normalisation, for comparison; nothing is proved for this one",
}


def claim(block: PDEBlock) -> str:
    """Return the meaning of the limits of a block, see `claim` of `Row`."""
    if block.normalization == "tv":
        return "comparison"
    return "theorem" if block.integrator.is_nonexpansive else "linearisation"


def _rows(block: PDEBlock, name: str, y, perturbation: float, seed: int, cheap: bool) -> list[Row]:
    kernel = ops.convert_to_numpy(block.theta()["kernel"])
    norms = np.asarray(operator_norm(kernel, block.padding, axes=kernel.ndim - 4))
    own = block.normalization != "scale" and block.step_size != "per_filter"
    limits = _limits(block, norms if own else effective_norms(block))
    # All steps have the same step size; an automatic one is computed from all kernels.
    h = float(block.current_step_size())
    y = layout.to_channels_last(ops.cast(y, "float64"), block.data_format)
    equation = _in_float64(block, h)
    start, finish = block.integrator.start, block.integrator.finish
    states = _at_each_time(trajectory(*equation, start(y)))
    features = [finish(state) for state in states]
    disturbed = trajectory(*equation, start(_disturb(y, perturbation, seed)), finish)
    distances = [_norms(a - b) for a, b in zip(disturbed, features, strict=True)]
    errors: Sequence[float | None] = [None] * block.steps
    if block.integrator.is_reversible and not cheap:
        errors = _round_trip(block, h, y)
    return [
        Row(
            block=name,
            kind=type(block).__name__,
            step=j + 1,
            norm_1=float(norms[j, 0]),
            norm_2=float(norms[j, 1]) if norms.shape[1] > 1 else None,
            step_size=h,
            limit=None if limits is None else float(limits[j]),
            claim=None if limits is None else claim(block),
            spectral_radius=None if cheap else spectral_radius(_step(*equation, j), states[j], seed),
            growth=float(np.max(distances[j + 1] / distances[0])),
            energy=math.sqrt(np.mean(_norms(features[j + 1]) ** 2)),
            round_trip=errors[j],
        )
        for j in range(block.steps)
    ]


def _limits(block: PDEBlock, norms: np.ndarray) -> np.ndarray | None:
    """Return the limits for `effective_norms`, or None if the theory has none."""
    try:
        return limits_of_norms(block, norms)
    except ValueError:  # For a residual block, or an activation that the theory does not cover.
        return None


def _in_float64(block: PDEBlock, h: float) -> tuple[Integrator, Field, Theta, float]:
    """Return integrator, field, theta and h of a block for an evaluation in float64 and in plain operations."""
    field = dataclasses.replace(block.field, compute_dtype=None, convolution_dtype=None, plain=True)
    theta = Theta((name, ops.cast(weight, "float64")) for name, weight in block.theta().items())
    return block.integrator, field, theta, h


def _at_each_time(states: tuple) -> list[tuple]:
    """Return the states of a trajectory one by one."""
    return list(zip(*(ops.unstack(part) for part in states), strict=True))


def _step(integrator: Integrator, field: Field, theta: Theta, h: float, j: int) -> Callable[[tuple], tuple]:
    """Return step j as a function of the state."""
    return lambda state: integrator.step(field.bind(theta.at(j)), h, state, j)


def _disturb(y, size: float, seed: int):
    """Return y with a random disturbance of every example, whose size is relative to the norm of the example."""
    direction = np.random.default_rng(seed).normal(size=y.shape)
    axes = tuple(range(1, direction.ndim))
    direction /= np.sqrt(np.sum(direction**2, axis=axes, keepdims=True))
    norms = np.sqrt(np.sum(np.square(ops.convert_to_numpy(y)), axis=axes, keepdims=True))
    # Features that are 0 are disturbed as well.
    return y + ops.convert_to_tensor(size * np.where(norms > 0, norms, 1.0) * direction, y.dtype)


def _round_trip(block: PDEBlock, h: float, y) -> list[float]:
    """Return the relative errors at t_0 … t_{N-1} after going to t_N and back, computed as the block computes.

    Args:
        block: Block.
        h: Step size.
        y: Features at t_0 with the channels last.
    """
    field, theta = block.field, block.theta()
    start = block.integrator.start(ops.cast(y, block.variable_dtype))
    states = _at_each_time(trajectory(block.integrator, field, theta, h, start))
    errors, state = [], states[-1]
    for j in reversed(range(block.steps)):
        state = block.integrator.undo(field.bind(theta.at(j)), h, state, j)
        there, back = (np.float64(ops.convert_to_numpy(block.integrator.finish(s))) for s in (states[j], state))
        size = np.linalg.norm(there)
        errors.append(float(np.linalg.norm(back - there) / size) if size else 0.0)
    return errors[::-1]


def _norms(y) -> np.ndarray:
    """Return the l2 norm of each example."""
    y = ops.convert_to_numpy(y)
    return np.linalg.norm(y.reshape(len(y), -1), axis=1)
