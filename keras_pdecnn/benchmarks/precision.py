"""Precision of the gradient over depth.

python -m keras_pdecnn.benchmarks.precision '{"block": "HamiltonianBlock", "depths": [4], "modes": [["stored", null]]}'
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence

import keras
import ml_dtypes
import numpy as np

from keras_pdecnn import layers
from keras_pdecnn.benchmarks.program import run_as_program
from keras_pdecnn.benchmarks.references import find
from keras_pdecnn.ops.backend import runtime

POLICIES = ("float32", "mixed_bfloat16", "mixed_float16")


def gradient_errors(
    block: str,
    steps: int,
    modes: Sequence[tuple[str, int | None]],
    policies: Sequence[str] = POLICIES,
    seeds: int = 5,
    size: int = 8,
    channels: int = 8,
    **settings,
) -> list[dict]:
    """Measure the relative error of the gradient, in the 2-norm, against stored activations in float64.

    The block has the final time T = 1, weights that change in time, and by default tanh and the TV normalisation.
    Without this normalisation, or with ReLU, whose mask may flip, the errors depend on the function more than on how
    its gradient is taken.

    Args:
        block: Name of a layer of the package, or "module:Name" of another one.
        steps: Number of time steps.
        modes: Pairs (backprop, checkpoint_every).
        policies: Names of Keras dtype policies; default float32, mixed_bfloat16 and mixed_float16.
        seeds: Number of seeds, over which the median is taken; default 5.
        size: Height and width of the features of two examples; default 8.
        channels: Number of channels of the features; default 8.
        **settings: Further arguments of the layer.

    Returns:
        A dict for every mode and policy: block, steps, backprop, checkpoint_every, policy, error.
    """
    settings = {"activation": "tanh", "step_size": 1.0 / steps, **settings}
    errors: dict[tuple[str, int | None, str], list[float]] = {}
    for seed in range(seeds):
        exact = _gradient(block, steps, "stored", None, "float64", seed, size, channels, settings)
        for backprop, every in modes:
            for policy in policies:
                gradient = _gradient(block, steps, backprop, every, policy, seed, size, channels, settings)
                error = float(np.linalg.norm(gradient - exact) / np.linalg.norm(exact))
                errors.setdefault((backprop, every, policy), []).append(error)
    return [
        {
            "block": block,
            "steps": steps,
            "backprop": backprop,
            "checkpoint_every": every,
            "policy": policy,
            "error": statistics.median(of_seeds),
        }
        for (backprop, every, policy), of_seeds in errors.items()
    ]


def _gradient(
    block: str,
    steps: int,
    backprop: str,
    every: int | None,
    policy: str,
    seed: int,
    size: int,
    channels: int,
    settings: dict,
) -> np.ndarray:
    """Return the gradient with respect to input and weights as one vector in float64."""
    keras.config.set_floatx("float64" if policy == "float64" else "float32")  # the type of Keras's own operations
    layer = find(block, layers)(steps, backprop=backprop, checkpoint_every=every, dtype=policy, **settings)
    shape = (2, size, size, channels)
    layer.build(shape)

    def draw(index, shape):
        # The numbers have the precision of the coarsest type, so that they are the same under every policy.
        numbers = np.random.default_rng([seed, index]).standard_normal(tuple(shape))
        return numbers.astype(ml_dtypes.bfloat16).astype(layer.variable_dtype)

    for index, weight in enumerate(layer.weights):
        weight.assign(draw(index, weight.shape) * (0.25 if weight.name == "kernel" else 0.5))
    y, w = (keras.ops.convert_to_tensor(draw(index, shape), layer.variable_dtype) for index in (10, 11))
    parts = runtime.layer_gradient(layer)(y, w)
    return np.concatenate([keras.ops.convert_to_numpy(part).astype("float64").ravel() for part in parts])


def measure(block: str, depths: Sequence[int], modes: Sequence, **settings) -> list[dict]:
    """Return the rows of `gradient_errors` for several depths."""
    modes = [tuple(mode) for mode in modes]
    return [row for steps in depths for row in gradient_errors(block, steps, modes, **settings)]


if __name__ == "__main__":
    run_as_program(measure)
