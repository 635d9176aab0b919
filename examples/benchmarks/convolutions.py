"""The convolutions of a training step alone: a program that uses them takes at least as long.

`python examples/benchmarks/convolutions.py '{"framework": "tensorflow"}'`, or "torch", prints the seconds of all
convolutions, and their gradients, of the paper's CIFAR-10 Hamiltonian network; `against_pytorch.py` runs both.
"""

import json
import statistics
import sys
import time

import numpy as np

WIDTHS, STEPS, CHANNELS = (32, 64, 112), 3, 3


class TensorFlow:
    """Convolutions of TensorFlow, in a graph."""

    def __init__(self):
        import tensorflow as tf

        import keras_pdecnn  # noqa: F401 -- turns oneDNN on where TensorFlow leaves it off
        from keras_pdecnn.ops.backend.tensorflow.primitives import kernel_gradient

        self.tf, self.of_kernel = tf, kernel_gradient
        self.compile = tf.function

    def features(self, array):
        return self.tf.constant(array)

    def kernel(self, size, channels, filters, rng):
        return self.tf.constant(rng.normal(0, 0.1, (size, size, channels, filters)).astype("float32"))

    def convolve(self, y, kernel):
        return self.tf.nn.conv2d(y, kernel, 1, "SAME")

    def of_features(self, y, g, kernel):
        return self.tf.nn.conv2d(g, self.tf.transpose(kernel[::-1, ::-1], (0, 1, 3, 2)), 1, "SAME")

    def of_weights(self, y, g, kernel):
        return self.of_kernel(y, g, kernel.shape)


class Torch:
    """Convolutions of PyTorch on features with the channels last."""

    def __init__(self):
        import torch

        self.torch, self.compile = torch, torch.no_grad()

    def features(self, array):
        return self.torch.tensor(array).permute(0, 3, 1, 2)  # in memory, the channels stay last

    def kernel(self, size, channels, filters, rng):
        kernel = self.torch.tensor(rng.normal(0, 0.1, (filters, channels, size, size)).astype("float32"))
        return kernel.contiguous(memory_format=self.torch.channels_last)

    def convolve(self, y, kernel):
        return self.torch.nn.functional.conv2d(y, kernel, padding=kernel.shape[-1] // 2)

    def of_features(self, y, g, kernel):
        return self._gradient(y, g, kernel, (True, False, False))[0]

    def of_weights(self, y, g, kernel):
        return self._gradient(y, g, kernel, (False, True, False))[1]

    def _gradient(self, y, g, kernel, wanted):
        padding = [kernel.shape[-1] // 2] * 2
        settings = None, [1, 1], padding, [1, 1], False, [0, 0], 1, wanted
        return self.torch.ops.aten.convolution_backward(g, y, kernel, *settings)


def measure(framework, batch=125, size=32, repetitions=8, warmup=3):
    """Return step_s, the median of the seconds of all convolutions of a step; peak_bytes is 0, as it says nothing."""
    backend, rng = {"tensorflow": TensorFlow, "torch": Torch}[framework](), np.random.default_rng(0)

    def draw(pixels, width):
        return backend.features(rng.normal(size=(batch, pixels, pixels, width)).astype("float32"))

    pixels = [size // 2**i for i in range(len(WIDTHS))]
    images, opening = draw(size, CHANNELS), backend.kernel(3, CHANNELS, WIDTHS[0], rng)
    halves = [draw(n, width // 2) for n, width in zip(pixels, WIDTHS, strict=True)]
    kernels = [backend.kernel(3, width // 2, width // 2, rng) for width in WIDTHS]
    wholes = [draw(n, width) for n, width in zip(pixels, WIDTHS, strict=True)]
    following = (*WIDTHS[1:], WIDTHS[-1])
    between = [backend.kernel(1, a, b, rng) for a, b in zip(WIDTHS, following, strict=True)]

    @backend.compile
    def step():
        y = backend.convolve(images, opening)
        gradients = [backend.of_weights(images, y, opening)]
        for features, kernel in zip(halves, kernels, strict=True):
            x = features
            for _ in range(2 * STEPS):
                u = backend.convolve(x, kernel)
                w = backend.of_features(x, u, kernel)  # K^T, as in F_sym
                v = backend.convolve(w, kernel)
                gradients += [backend.of_weights(x, v, kernel), backend.of_weights(w, u, kernel)]
                x = backend.of_features(x, v, kernel)
        for y, kernel in zip(wholes, between, strict=True):
            g = backend.convolve(y, kernel)
            gradients += [backend.of_weights(y, g, kernel), backend.of_features(y, g, kernel)[:1]]
        return gradients

    times = []
    for i in range(warmup + repetitions):
        start = time.perf_counter()
        result = step()
        if framework == "tensorflow":
            result[-1].numpy()
        if i >= warmup:
            times.append(time.perf_counter() - start)
    return {"step_s": statistics.median(times), "peak_bytes": 0}


if __name__ == "__main__":
    print(json.dumps(measure(**json.loads(sys.argv[1]))))
