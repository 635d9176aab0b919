"""Memory that the gradient of a block takes under JAX or PyTorch, in bytes, without the gradients of the weights.

python tests/helpers/backend_memory.py BLOCK BACKPROP STEPS...

JAX states what XLA plans for it. For PyTorch it is the peak of the process, so give one number of steps.
"""

import math
import resource
import sys

import keras
import numpy as np

import keras_pdecnn as pde

SHAPE = (1, 256, 256, 8)


def make(block, backprop, steps):
    layer = getattr(pde.layers, block)(steps, step_size=0.1, backprop=backprop)
    layer.build(SHAPE)
    size = sum(4 * math.prod(weight.shape) for weight in layer.weights)
    return layer, np.ones(SHAPE, "float32"), size


def under_jax(block, backprop, steps):
    import jax

    from keras_pdecnn.ops.backend.jax import loops

    loops.LOOPS = True
    layer, y, size = make(block, backprop, steps)
    weights = [v.value for v in layer.trainable_variables]

    def loss(y, weights):
        return layer.stateless_call(weights, [], y)[0].sum()

    plan = jax.jit(jax.grad(loss, (0, 1))).lower(y, weights).compile().memory_analysis()
    return plan.temp_size_in_bytes - size


def under_torch(block, backprop, steps):
    import torch

    layer, y, size = make(block, backprop, steps)
    y = torch.tensor(y, requires_grad=True)
    with open("/proc/self/statm") as file:
        before = int(file.read().split()[1]) * resource.getpagesize()
    layer(y).sum().backward()
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before - size


if __name__ == "__main__":
    measure = {"jax": under_jax, "torch": under_torch}[keras.backend.backend()]
    for steps in sys.argv[3:]:
        print(measure(*sys.argv[1:3], int(steps)))
