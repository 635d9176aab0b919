"""Outputs and gradients of blocks under the backend of KERAS_BACKEND; JAX also needs JAX_ENABLE_X64=1."""

import itertools

import keras
import numpy as np

import keras_pdecnn as pde

BACKEND = keras.backend.backend()
MODES = [
    {"backprop": "stored"},
    {"backprop": "checkpointed", "stored_steps": 0},
    {"backprop": "checkpointed", "stored_steps": 1, "checkpoint_every": 2},
    {"backprop": "reversible", "stored_steps": 0},
    {"backprop": "reversible", "stored_steps": 1},
    {"backprop": "reversible", "stored_steps": 0, "checkpoint_every": 2},
]
BLOCKS = {
    "parabolic": pde.layers.ParabolicBlock,
    "hamiltonian": pde.layers.HamiltonianBlock,
    "leapfrog": pde.layers.SecondOrderBlock,
    "residual": pde.layers.ResidualBlock,
}


def value_and_gradients(layer, y, w, compiled):
    """Return the output of a layer, and the gradients of <w, output> by the input and the trainable weights.

    Args:
        layer: A layer that has been built.
        y: Input.
        w: Cotangent.
        compiled: Whether JAX compiles all of it. Otherwise JAX compiles operations, once for all cases of one shape.
    """
    if BACKEND == "tensorflow":
        import tensorflow as tf

        y = tf.convert_to_tensor(y)
        with tf.GradientTape() as tape:
            tape.watch(y)
            out = layer(y)
            loss = tf.reduce_sum(w * out)
        return [out, *tape.gradient(loss, [y, *(v.value for v in layer.trainable_variables)])]
    if BACKEND == "jax":
        import jax

        variables = [v.value for v in layer.trainable_variables]
        fixed = [v.value for v in layer.non_trainable_variables]

        y = jax.numpy.asarray(y)

        def loss(y, variables):
            out, _ = layer.stateless_call(variables, fixed, y)
            return (w * out).sum(), out

        differentiate = jax.value_and_grad(loss, (0, 1), has_aux=True)
        (_, out), (of_y, of_variables) = (jax.jit(differentiate) if compiled else differentiate)(y, variables)
        return [out, of_y, *of_variables]
    import torch

    y = torch.tensor(y, requires_grad=True)
    out = layer(y)
    variables = [v.value for v in layer.trainable_variables]
    return [out, *torch.autograd.grad((torch.tensor(w) * out).sum(), [y, *variables])]


def run(layer, y, w, compiled):
    values = [keras.ops.convert_to_numpy(value) for value in value_and_gradients(layer, y, w, compiled)]
    names = ["yN", "dy0", *(f"d{weight.name}" for weight in layer.trainable_variables)]
    return dict(zip(names, values, strict=True))


def modes(block_class):
    reversible = block_class.integrator.is_reversible
    return [mode for mode in MODES if reversible or mode["backprop"] != "reversible"]


def reference(path):
    """Yield the results of the blocks that the authors' software has computed, in every mode."""
    data = np.load(path)
    for case in sorted({key.split("/")[0] for key in data.files}):
        values = {key.split("/")[1]: data[key] for key in data.files if key.startswith(f"{case}/")}
        dynamics, activation, normalization = case.rsplit("_", 2)
        for mode in modes(BLOCKS[dynamics]):
            layer = BLOCKS[dynamics](
                int(values["steps"]),
                step_size=float(values["h"]),
                activation=activation,
                normalization=None if normalization == "none" else normalization,
                use_bias="bias" in values,
                epsilon=1e-4,
                dtype="float64",
                **mode,
            )
            layer.build(values["y0"].shape)
            layer.set_weights([values[w.name] for w in layer.weights])
            yield f"{case}/{'-'.join(map(str, mode.values()))}", run(layer, values["y0"], values["w"], compiled=False)


def special_cases():
    """Yield a sum whose terms share a cotangent, and the standardisation of a constant example."""
    rng = np.random.default_rng(3)
    y, w = rng.normal(size=(2, 2, 5, 4, 4))
    inputs = keras.Input(y.shape[1:], dtype="float64")
    block = pde.layers.HamiltonianBlock(2, 0.4, activation="tanh", stored_steps=0, dtype="float64")
    model = keras.Model(inputs, keras.layers.Add(dtype="float64")([inputs, block(inputs)]))
    model.set_weights([rng.normal(size=weight.shape) for weight in model.get_weights()])
    yield "sum", run(model, y, w, compiled=True)
    layer = pde.layers.Standardization(dtype="float64")
    layer.build(y.shape)
    y[0] = 7.0
    yield "constant", run(layer, y, w, compiled=False)


def random_blocks(dtype):
    """Yield the results of blocks with random weights, in float64 of every kind and normalisation, in float32 of a few.

    Blocks with a symmetric layer share its code: each takes two of the four normalisations.
    """
    spaces = {1: (7,), 2: (5, 4), 3: (3, 4, 3)}
    choices = itertools.product(enumerate(BLOCKS), enumerate(("tv", None, "scale", "shrinkage")))
    # One mode each: JAX compiles every case.
    for i, ((row, name), (column, normalization)) in enumerate(choices):
        if (name != "residual" and (row + column) % 2) or (dtype == "float32" and i % 5):
            continue
        rng = np.random.default_rng(i)
        rank = 1 + i % 3
        settings = {
            "normalization": normalization,
            "activation": "relu" if normalization == "shrinkage" else "tanh",
            "padding": ("same", "periodic")[i % 2],
            "step_size": "auto" if normalization == "scale" and name != "residual" else 0.4,
        }
        if i % 5 == 0:
            settings |= {"time_basis": "linear", "basis_size": 3}
        y, w = rng.normal(size=(2, 2, *spaces[rank], 4)).astype(dtype)
        mode = modes(BLOCKS[name])[i % len(modes(BLOCKS[name]))]
        layer = BLOCKS[name](4, dtype=dtype, **settings, **mode)
        layer.build(y.shape)
        layer.set_weights([rng.normal(float(v.name == "scale"), 0.3, v.shape).astype(dtype) for v in layer.weights])
        yield f"{name}/{normalization}", run(layer, y, w, compiled=i % 4 == 0 or settings["step_size"] == "auto")
