"""Gradients of reversible layers, and of the same layers without the wrapper, in float64 under the backend of Keras.

python tests/helpers/reversible_cases.py CASE...

Prints a line for each case and way of running it: its name, and the largest relative difference over three steps in
output, loss, gradients, statistics and the states of random numbers. The case "fit" is the largest difference between
the weights and statistics after ten steps of `fit`.
"""

import contextlib
import sys

import keras
import numpy as np

from keras_pdecnn import layers

L = keras.layers
SHAPE = (2, 4, 4, 4)
WAYS = {"tensorflow": ("eager", "graph", "jit"), "jax": ("eager", "jit"), "torch": ("eager",)}
EAGER_JAX = ("attention", "frozen")  # JAX compiles every operation for itself, so two cases are enough


class Energy(L.Layer):
    """Adds the sum of squares to the losses."""

    def call(self, x):
        self.add_loss(0.01 * keras.ops.sum(x * x))
        return x


def convolutions(width, seed):
    """Return a model with everything that a layer can carry: statistics, random numbers, losses."""
    convolution = L.Conv2D(width, 3, padding="same", activation="gelu")
    return keras.Sequential([L.BatchNormalization(momentum=0.7), convolution, Energy(), L.Dropout(0.3, seed=seed)])


class SelfAttention(L.Layer):
    """Attention of a sequence to itself and to a context."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.supports_masking = True
        self.attention = L.MultiHeadAttention(2, 3, dropout=0.2, seed=5)
        self.norm = L.LayerNormalization()

    def build(self, shape):
        self.norm.build(shape)
        self.attention.build(shape, shape)

    def call(self, x, mask=None, context=None):
        x = self.norm(x)
        value = x if context is None else keras.ops.concatenate([x, context], axis=1)
        if mask is not None:
            extra = value.shape[1] - mask.shape[1]
            mask = keras.ops.pad(mask, ((0, 0), (0, extra)), constant_values=True)
        return self.attention(x, value, value_mask=mask)


def dense(units=2, **settings):
    return L.Dense(units, activation="tanh", **settings)


def with_everything(units=2, seed=1):
    return keras.Sequential([dense(units), L.BatchNormalization(momentum=0.5), L.Dropout(0.5, seed=seed)])


def classifier():
    couplings = [layers.Reversible(with_everything(2, i), with_everything(2, 5 + i)) for i in range(3)]
    inputs = keras.Input((6, 4))
    x = L.GlobalAveragePooling1D()(layers.ReversibleSequence(couplings, name="reversible")(inputs))
    return keras.Model(inputs, L.Dense(3, activation="softmax")(x))


def frozen():
    first, *rest = (layers.Reversible(convolutions(2, i), convolutions(2, 10 + i)) for i in range(3))
    sequence = layers.ReversibleSequence([first, *rest])
    sequence.build(SHAPE)
    first.trainable = False
    rest[0].g.layers[0].trainable = False
    rest[1].f.layers[1].trainable = False
    return sequence, {}


def shared():
    common = convolutions(2, 3)
    coupling = layers.Reversible(common)
    members = [coupling, layers.Reversible(common, convolutions(2, 4)), coupling, layers.Reversible(common, common)]
    return layers.ReversibleSequence(members), {}


def kinds():
    members = [
        layers.HamiltonianBlock(3, step_size=0.3, activation="tanh"),
        layers.Reversible(convolutions(4, 2), split_axis=1),
        layers.ReversibleSequence([layers.Reversible(convolutions(2, 6)), layers.Reversible(convolutions(2, 7))]),
    ]
    return layers.ReversibleSequence(members), {}


def affine():
    model = keras.Sequential([convolutions(3, 2), L.Conv2D(4, 1)])
    layer = layers.ReversibleSequence([layers.AffineCoupling(model, bound=0.5), layers.AffineCoupling(L.Conv2D(4, 1))])
    layer.build(SHAPE)

    class Both(L.Layer):
        """Adds the logarithms of the determinants to its losses."""

        def __init__(self):
            super().__init__()
            self.flow = layer

        def plain_operations(self):
            return self.flow.plain_operations()

        def call(self, x, training=None):
            y, logarithms = self.flow.with_log_determinant(x, training=training)
            self.add_loss(keras.ops.sum(logarithms))
            return y

    return Both(), {}


def nested():
    inner = keras.Sequential([layers.Reversible(L.Dropout(0.5, seed=9), L.Dense(1)), convolutions(2, 1)])
    return layers.Reversible(inner, layers.Reversible(L.Conv2D(1, 3, padding="same"))), {}


def attention():
    mask = np.ones((2, 5), bool)
    mask[0, 3:] = False
    context = np.random.default_rng(1).normal(size=(2, 3, 4))
    members = [layers.Reversible(SelfAttention(), L.Dense(4, activation="gelu")) for _ in range(2)]
    return layers.ReversibleSequence(members), {"mask": mask, "context": context}


CASES = {"frozen": frozen, "shared": shared, "kinds": kinds, "affine": affine, "nested": nested, "attention": attention}


def ways(case, backend):
    """Return how a case is run under a backend."""
    return [way for way in WAYS[backend] if (backend, way) != ("jax", "eager") or case in EAGER_JAX]


def make(case):
    """Return a layer with weights of which none is special, and the further arguments of its call."""
    keras.utils.set_random_seed(1)
    layer, arguments = CASES[case]()
    shape = (2, 5, 8) if case == "attention" else SHAPE
    layer.build(shape)
    rng = np.random.default_rng(0)
    for weight in layer.weights:
        weight.assign(weight + 0.1 * np.abs(rng.normal(size=weight.shape)))
    return layer, shape, arguments


def by_tensorflow(layer, way):
    import tensorflow as tf

    def gradient(x, w, arguments):
        arguments = {name: tf.convert_to_tensor(value) for name, value in arguments.items()}
        sources = [x, *(a for a in arguments.values() if a.dtype.is_floating)]
        with tf.GradientTape() as tape:
            tape.watch(sources)
            y = layer(x, training=True, **arguments)
            loss = tf.reduce_sum(y * w) + sum(layer.losses)
        return y, loss, tape.gradient(loss, sources + [v.value for v in layer.trainable_variables])

    return gradient if way == "eager" else tf.function(gradient, jit_compile=way == "jit")


def by_jax(layer, way):
    import jax
    import jax.numpy as jnp

    def loss(sources, trainable, others, arguments, w):
        x, floating = sources
        pairs = zip(layer.trainable_variables + layer.non_trainable_variables, trainable + others, strict=True)
        # A layer that is called outside another one drops its earlier losses, so `stateless_call` would not do.
        with keras.StatelessScope(list(pairs), collect_losses=True) as scope:
            y = layer(x, training=True, **arguments, **floating)
            losses = layer.losses
        others = [scope.get_current_value(variable) for variable in layer.non_trainable_variables]
        return jnp.sum(y * w) + sum(losses), (y, others)

    differentiate = jax.value_and_grad(loss, (0, 1), has_aux=True)
    differentiate = jax.jit(differentiate) if way == "jit" else differentiate

    def gradient(x, w, arguments):
        floating = {name: jnp.asarray(a) for name, a in arguments.items() if a.dtype.kind == "f"}
        fixed = {name: jnp.asarray(a) for name, a in arguments.items() if a.dtype.kind != "f"}
        values = [[v.value for v in group] for group in (layer.trainable_variables, layer.non_trainable_variables)]
        (value, (y, others)), gradients = differentiate((x, floating), *values, fixed, w)
        for variable, new in zip(layer.non_trainable_variables, others, strict=True):
            variable.assign(new)
        return y, value, jax.tree.leaves(gradients)

    return gradient


def by_torch(layer, way):
    import torch

    def gradient(x, w, arguments):
        x = x.detach().requires_grad_()
        arguments = {name: torch.as_tensor(value) for name, value in arguments.items()}
        floating = [a.requires_grad_() for a in arguments.values() if a.is_floating_point()]
        y = layer(x, training=True, **arguments)
        loss = (y * w).sum() + sum(layer.losses)
        sources = [x, *floating, *(v.value for v in layer.trainable_variables)]
        torch.autograd.grad(loss, sources, retain_graph=True)
        return y, loss, torch.autograd.grad(loss, sources)  # of the second backward pass through one graph

    return gradient


def three_steps(case, way, plain=False):
    """Return everything that three steps give."""
    layer, shape, arguments = make(case)
    rng, results = np.random.default_rng(3), []
    backend = keras.backend.backend()
    gradient = {"tensorflow": by_tensorflow, "jax": by_jax, "torch": by_torch}[backend](layer, way)
    with layer.plain_operations() if plain else contextlib.nullcontext():
        for _ in range(3):
            x, w = (keras.ops.convert_to_tensor(rng.normal(size=shape), dtype="float64") for _ in range(2))
            y, loss, gradients = gradient(x, w, arguments)
            results += [y, loss, *gradients]
    results += [variable.value for variable in layer.non_trainable_variables]
    return [np.asarray(keras.ops.convert_to_numpy(keras.ops.stop_gradient(value)), float) for value in results]


def error(results, expected):
    """Return the largest relative difference in the 2-norm; some gradients, such as those of shifted keys, are 0."""
    pairs = zip(results, expected, strict=True)
    return max(np.linalg.norm(a - b) / max(np.linalg.norm(b), 1e-3) for a, b in pairs)


def ten_steps_of_fit(plain, jit=False):
    """Return the weights, statistics and states of random numbers after ten steps of training."""
    keras.utils.set_random_seed(4)
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(40, 6, 4)), rng.integers(0, 3, 40)
    model = classifier()
    model.compile(keras.optimizers.SGD(0.1), "sparse_categorical_crossentropy", jit_compile=jit)
    model.get_layer("reversible")._plain = plain
    model.fit(x, y, batch_size=4, shuffle=False, verbose=0)
    return [keras.ops.convert_to_numpy(variable.value) for variable in model.variables]


def gap(results, expected):
    """Return the largest difference between two lists of arrays."""
    pairs = zip(results, expected, strict=True)
    return max(np.max(np.abs(a.astype(float) - b)) for a, b in pairs)


if __name__ == "__main__":
    keras.config.set_dtype_policy("float64")
    keras.config.set_floatx("float64")
    for case in sys.argv[1:] or [*CASES, "fit"]:
        if case == "fit":
            jit = keras.backend.backend() != "torch"
            print("fit", gap(*(ten_steps_of_fit(plain, jit) for plain in (False, True))), flush=True)
            continue
        for way in ways(case, keras.backend.backend()):
            # XLA may draw other random numbers than the backend itself, so both are run in the same way.
            expected = three_steps(case, way, plain=True)
            print(f"{case}/{way}", error(three_steps(case, way), expected), flush=True)
