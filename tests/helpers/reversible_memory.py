"""Peak memory and time of the gradient of a sequence of couplings, each of two 3x3 convolutions with ReLU.

python tests/helpers/reversible_memory.py KIND DEPTH [REPETITIONS]

KIND is "reversible", "stored" or "remat" (Keras, under its backend), "channels_first" (reversible with the axes in that
order and, in memory, the channels last), or "memcnn" or "revlib" (PyTorch, channels last). Prints megabytes without the
gradients of the weights, and the medians of seconds by the clock and of the CPU. A gradient for a single small example
comes first, so that graphs exist, and memory counts from there. For JAX it is the memory that XLA plans. Give each
measurement a process.
"""

import contextlib
import json
import statistics
import sys
import time

import keras
import numpy as np

import keras_pdecnn as pde
from keras_pdecnn.benchmarks.memory import PeakMemory
from keras_pdecnn.ops.backend import runtime

SHAPE = (4, 64, 64, 32)


def convolution(**settings):
    return keras.layers.Conv2D(SHAPE[-1] // 2, 3, padding="same", activation="relu", **settings)


class Stored(keras.layers.Layer):
    """The same couplings in plain Keras."""

    def __init__(self, depth):
        super().__init__()
        self.pairs = [(convolution(), convolution()) for _ in range(depth)]

    def build(self, shape):
        for pair in self.pairs:
            for layer in pair:
                layer.build((*shape[:-1], shape[-1] // 2))

    def call(self, x):
        y, z = keras.ops.split(x, 2, axis=-1)
        for f, g in self.pairs:
            y = y + f(z)
            z = z + g(y)
        return keras.ops.concatenate([y, z], axis=-1)


def keras_layer(kind, depth):
    if kind == "channels_first":
        first = [[convolution(data_format=kind) for _ in range(2)] for _ in range(depth)]
        layer = pde.layers.ReversibleSequence([pde.layers.Reversible(*pair, split_axis=1) for pair in first])
        layer.build((None, SHAPE[-1], *SHAPE[1:-1]))
        return layer
    if kind == "reversible":
        couplings = [pde.layers.Reversible(convolution(), convolution()) for _ in range(depth)]
        layer = pde.layers.ReversibleSequence(couplings)
    else:
        with keras.RematScope("full") if kind == "remat" else contextlib.nullcontext():
            layer = Stored(depth)
    layer.build((None, *SHAPE[1:]))
    return layer


def by_tensorflow(layer):
    import tensorflow as tf

    signature = [tf.TensorSpec((None, None, None, SHAPE[-1]))] * 2

    @tf.function(input_signature=signature)
    def gradient(x, w):
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = tf.reduce_sum(layer(x) * w)
        return tape.gradient(loss, [x, *(v.value for v in layer.trainable_variables)])

    return gradient


def by_torch(layer, channels_first=False):
    parameters = [v.value for v in layer.trainable_variables]

    def gradient(x, w):
        import torch

        x, w = (a.permute(0, 3, 1, 2).detach() if channels_first else a.detach() for a in (x, w))
        x.requires_grad_()
        return torch.autograd.grad((layer(x) * w).sum(), [x, *parameters])

    return gradient


def by_modules(kind, depth):
    """Return the gradient of the same couplings in another library."""
    import torch

    half = SHAPE[-1] // 2

    def convolution():
        return torch.nn.Sequential(torch.nn.Conv2d(half, half, 3, padding=1), torch.nn.ReLU())

    if kind == "memcnn":
        import memcnn

        def coupling():
            inner = memcnn.AdditiveCoupling(convolution(), convolution())
            return memcnn.InvertibleModuleWrapper(inner, keep_input=False, keep_input_inverse=False)

        module = torch.nn.Sequential(*(coupling() for _ in range(depth)))
    else:
        import revlib

        module = revlib.ReversibleSequential(*(convolution() for _ in range(2 * depth)), split_dim=1)
    module = module.to(memory_format=torch.channels_last)

    def gradient(x, w):
        x, w = (a.permute(0, 3, 1, 2).detach() for a in (x, w))  # channels last in memory
        module.zero_grad(set_to_none=True)
        x.requires_grad_()
        (module(x.clone()) * w).sum().backward()
        return [x.grad, *(p.grad for p in module.parameters())]

    return gradient


def planned_by_xla(layer):
    """Return the bytes that XLA plans for the gradient, and the compiled gradient."""
    import jax

    def loss(x, weights, w):
        return (layer.stateless_call(weights, [], x)[0] * w).sum()

    x = jax.ShapeDtypeStruct(SHAPE, "float32")
    weights = [v.value for v in layer.trainable_variables]
    compiled = jax.jit(jax.grad(loss, (0, 1))).lower(x, weights, x).compile()
    return compiled.memory_analysis().temp_size_in_bytes, lambda x, w: jax.tree.leaves(compiled(x, weights, w))


def main(kind, depth, repetitions=3):
    depth = int(depth)
    rng = np.random.default_rng(0)
    x, w = (rng.standard_normal(SHAPE, "float32") for _ in range(2))
    gradient_bytes = 4 * 2 * depth * (9 * (SHAPE[-1] // 2) ** 2 + SHAPE[-1] // 2)
    backend, bytes_planned = keras.backend.backend(), None
    if kind in ("memcnn", "revlib"):
        backend, gradient = kind, by_modules(kind, depth)
    elif backend == "jax":
        bytes_planned, gradient = planned_by_xla(keras_layer(kind, depth))
    elif backend == "torch":
        gradient = by_torch(keras_layer(kind, depth), kind == "channels_first")
    else:
        gradient = by_tensorflow(keras_layer(kind, depth))
    if backend in ("memcnn", "revlib", "torch"):
        import torch

        x, w = map(torch.as_tensor, (x, w))
    else:
        x, w = map(keras.ops.convert_to_tensor, (x, w))
    if bytes_planned is None:
        gradient(x[:1, :8, :8], w[:1, :8, :8])
    peak, times = PeakMemory(), []
    for _ in range(int(repetitions)):
        start = time.perf_counter(), time.process_time()
        runtime.wait(gradient(x, w))
        times.append((time.perf_counter() - start[0], time.process_time() - start[1]))
    used = peak.read() - gradient_bytes if bytes_planned is None else bytes_planned
    seconds = [round(statistics.median(column), 3) for column in zip(*times, strict=True)]
    print(json.dumps({"kind": kind, "backend": backend, "depth": depth, "MB": round(used / 1e6, 1), "s": seconds}))


if __name__ == "__main__":
    main(*sys.argv[1:])
