"""Memory and time of a training step of one block.

python -m keras_pdecnn.benchmarks.block '{"block": "HamiltonianBlock", "backprop": "reversible", "steps": 16}'
"""

from __future__ import annotations

import math
import statistics
import time

import keras
import numpy as np

from keras_pdecnn import layers
from keras_pdecnn.benchmarks.memory import PeakMemory
from keras_pdecnn.benchmarks.program import run_as_program
from keras_pdecnn.benchmarks.references import find
from keras_pdecnn.ops.backend import runtime


class BlockRun:
    """A block with its training step: the gradient of a linear functional with respect to input and weights.

    Args:
        block: Name of a layer of the package, for example "HamiltonianBlock", or "module:Name" of another one.
        backprop: "reversible", "checkpointed" or "stored".
        steps: Number of time steps.
        batch: Number of examples; default 8.
        size: Height and width; default 64.
        channels: Number of channels; default 32.
        jit_compile: Whether TensorFlow's step is compiled by XLA; default False. JAX's always is, PyTorch's never.
        **settings: Further arguments of the layer.
    """

    def __init__(
        self,
        block: str,
        backprop: str,
        steps: int,
        batch: int = 8,
        size: int = 64,
        channels: int = 32,
        jit_compile: bool = False,
        **settings,
    ):
        keras.utils.set_random_seed(0)
        shape = (batch, size, size, channels)
        self.layer = find(block, layers)(steps, step_size=1.0 / steps, backprop=backprop, **settings)
        self.layer.build(shape)
        self.gradient_bytes = 4 * sum(math.prod(weight.shape) for weight in self.layer.trainable_weights)  # float32
        rng = np.random.default_rng(0)
        self.y, self.w = (keras.ops.convert_to_tensor(rng.standard_normal(shape, "float32")) for _ in range(2))
        self._gradient = runtime.layer_gradient(self.layer, jit_compile)

    def step(self) -> float:
        """Take one gradient and return its time in seconds."""
        start = time.perf_counter()
        runtime.wait(self._gradient(self.y, self.w))
        return time.perf_counter() - start


def measure(repetitions: int = 5, **settings) -> dict:
    """Measure a training step of a block.

    Args:
        repetitions: Number of steps that are timed after the first; default 5.
        **settings: Arguments of `BlockRun`.

    Returns:
        The settings, first_s (time of tracing and of the first step), step_s (median time of the others), peak_bytes
        and gradient_bytes.
    """
    run = BlockRun(**settings)
    # The memory before the step: with the weights, and after one convolution.
    kernel = run.layer.kernel.value[0, 0]
    runtime.wait([keras.ops.conv(run.y[..., : kernel.shape[-2]], kernel, 1, "same", data_format="channels_last")])
    peak = PeakMemory()
    first = run.step()
    times = [run.step() for _ in range(repetitions)]
    return {
        **settings,
        "first_s": first,
        "step_s": statistics.median(times) if times else None,
        "peak_bytes": peak.read(),
        "gradient_bytes": run.gradient_bytes,
    }


if __name__ == "__main__":
    run_as_program(measure)
