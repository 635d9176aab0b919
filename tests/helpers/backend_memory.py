"""Memory that the gradient of a block takes under JAX or PyTorch, in bytes, without the gradients of the weights.

python tests/helpers/backend_memory.py BLOCK BACKPROP SIZE STEPS...

The features are one example of SIZE x SIZE pixels with 8 channels.

JAX states what XLA plans for it. For PyTorch it is the peak of the process, so give one number of steps.
"""

import math
import resource
import sys

import keras
import numpy as np

import keras_pdecnn as pde


def make(block, backprop, size, steps):
    shape = (1, size, size, 8)
    layer = getattr(pde.layers, block)(steps, step_size=0.1, backprop=backprop)
    layer.build(shape)
    return layer, np.ones(shape, "float32"), sum(4 * math.prod(weight.shape) for weight in layer.weights)


def under_jax(*settings):
    import jax

    from keras_pdecnn.ops.backend.jax import loops

    loops.LOOPS = True
    layer, y, of_weights = make(*settings)
    weights = [v.value for v in layer.trainable_variables]

    def loss(y, weights):
        return layer.stateless_call(weights, [], y)[0].sum()

    plan = jax.jit(jax.grad(loss, (0, 1))).lower(y, weights).compile().memory_analysis()
    return plan.temp_size_in_bytes - of_weights


def under_torch(*settings):
    import torch

    layer, y, of_weights = make(*settings)
    y = torch.tensor(y, requires_grad=True)
    with open("/proc/self/statm") as file:
        before = int(file.read().split()[1]) * resource.getpagesize()
    layer(y).sum().backward()
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before - of_weights


if __name__ == "__main__":
    measure = {"jax": under_jax, "torch": under_torch}[keras.backend.backend()]
    for steps in sys.argv[4:]:
        print(measure(*sys.argv[1:3], int(sys.argv[3]), int(steps)))
