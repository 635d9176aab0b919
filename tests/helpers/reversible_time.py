"""Time of the gradient of couplings of two 3x3 convolutions with ReLU on 64x64 pixels, by several programs in turn.

python tests/helpers/reversible_time.py BATCH COUPLINGS

Runs each kind of `reversible_memory.py` that the backend of Keras has (under PyTorch memcnn and revlib, too) once, then
five times in turn with the others, and prints the medians of seconds by the clock and of the CPU.
"""

import json
import statistics
import sys
import time

import keras
import numpy as np
import reversible_memory as couplings

from keras_pdecnn.ops.backend import runtime


def gradients(depth):
    """Return the gradients by kind."""
    backend = keras.backend.backend()
    if backend == "torch":
        first = ("reversible", "channels_first", "stored")
        ours = {
            kind: couplings.by_torch(couplings.keras_layer(kind, depth), kind == "channels_first") for kind in first
        }
        return ours | {kind: couplings.by_modules(kind, depth) for kind in ("revlib", "memcnn")}
    layers = {kind: couplings.keras_layer(kind, depth) for kind in ("reversible", "stored")}
    if backend == "jax":
        return {kind: couplings.planned_by_xla(layer)[1] for kind, layer in layers.items()}
    return {kind: couplings.by_tensorflow(layer) for kind, layer in layers.items()}


def main(batch, depth):
    """Print a line for each kind."""
    couplings.SHAPE = (int(batch), 64, 64, 32)
    functions = gradients(int(depth))
    rng = np.random.default_rng(0)
    x, w = (keras.ops.convert_to_tensor(rng.standard_normal(couplings.SHAPE, "float32")) for _ in range(2))
    times = {kind: [] for kind in functions}
    for repetition in range(6):
        for kind, function in functions.items():
            start = time.perf_counter(), time.process_time()
            runtime.wait(function(x, w))
            if repetition:
                times[kind].append((time.perf_counter() - start[0], time.process_time() - start[1]))
    for kind, pairs in times.items():
        seconds = [round(statistics.median(column), 3) for column in zip(*pairs, strict=True)]
        print(json.dumps({"kind": kind, "backend": keras.backend.backend(), "s": seconds}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
