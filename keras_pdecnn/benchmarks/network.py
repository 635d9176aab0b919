"""Time and memory of a training step of a whole network.

python -m keras_pdecnn.benchmarks.network '{"architecture": "HamiltonianCNN", "backprop": "reversible"}'
"""

from __future__ import annotations

import math
import statistics
import time

import keras
import numpy as np

from keras_pdecnn import models
from keras_pdecnn.benchmarks.memory import PeakMemory
from keras_pdecnn.benchmarks.program import run_as_program
from keras_pdecnn.benchmarks.references import find, reference
from keras_pdecnn.networks import DEFAULT, NETWORKS
from keras_pdecnn.ops.backend import runtime
from keras_pdecnn.recipes import Recipe
from keras_pdecnn.utils.policies import dtype_policy


def measure(
    architecture: str | None = None,
    backprop: str = "reversible",
    batch: int = 125,
    size: int = 32,
    repetitions: int = 8,
    warmup: int = 3,
    policy: str = "float32",
    **settings,
) -> dict:
    """Return step_s (median), peak_bytes and weights of training a network with SGD and momentum.

    Args:
        architecture: Name of a builder of the package, or "module:name" of another one; default None, the builder of
            the default network, "HamiltonianCNN".
        backprop: How the gradient is taken; default "reversible".
        batch: Number of examples; default 125, the paper's.
        size: Height and width of the images, of three channels; default 32.
        repetitions: Number of steps that are timed; default 8.
        warmup: Number of steps before them; default 3.
        policy: Policy of Keras for the numbers; default "float32".
        **settings: Further arguments of the builder; by default three blocks of widths 32, 64, 112 with three steps
            each, the paper's for CIFAR-10, without a regulariser.
    """
    keras.utils.set_random_seed(0)
    paper = Recipe(widths=(32, 64, 112), weight_decay=0.0).network_settings()
    settings = {**paper, "classes": 10, "include_preprocessing": False, **settings, "backprop": backprop}
    architecture = architecture or reference(NETWORKS[DEFAULT].builder, models)
    with dtype_policy(policy):
        model = find(architecture, models)((size, size, 3), **settings)
    model.compile(keras.optimizers.SGD(0.01, momentum=0.9), "sparse_categorical_crossentropy")
    generator = np.random.default_rng(0)
    x = generator.standard_normal((batch, size, size, 3), "float32")
    y = generator.integers(0, settings["classes"], batch)
    peak = PeakMemory()
    times = []
    for i in range(warmup + repetitions):
        start = time.perf_counter()
        model.train_on_batch(x, y)
        runtime.wait([model.trainable_variables[0].value])
        if i >= warmup:
            times.append(time.perf_counter() - start)
    return {
        "architecture": architecture,
        "backprop": backprop,
        "step_s": statistics.median(times),
        "peak_bytes": peak.read(),
        "weights": sum(math.prod(weight.shape) for weight in model.trainable_variables),
    }


if __name__ == "__main__":
    run_as_program(measure)
