"""Every way of taking the gradient gives the gradient of plain automatic differentiation."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_pdecnn import layers, ops

HYPERBOLIC = ["HamiltonianBlock", "SecondOrderBlock"]
BLOCKS = [*HYPERBOLIC, "ParabolicBlock", "ResidualBlock"]
# (backprop, checkpoint_every) of every mode; 3 does not divide the 4 steps taken below.
MODES = [("stored", None), ("checkpointed", None), ("checkpointed", 3)]
REVERSIBLE = [("reversible", None), ("reversible", 3)]
CASES = [(block, *mode) for block in BLOCKS for mode in MODES] + [
    (block, *mode) for block in HYPERBOLIC for mode in REVERSIBLE
]


def make(block, backprop, every, dtype="float64", rank=2, steps=4, **settings):
    """Return a block with weights that change in time, features, and a cotangent."""
    settings = {"activation": "tanh", "step_size": 0.5, "stored_steps": 0, **settings}
    layer = getattr(layers, block)(steps, backprop=backprop, checkpoint_every=every, dtype=dtype, **settings)
    shape = (2, *(5, 4, 3)[:rank], 4)
    layer.build(shape)
    rng = np.random.default_rng(7)
    for weight in layer.weights:
        weight.assign(0.4 * rng.normal(size=weight.shape))
    state_dtype = layer.variable_dtype
    return layer, tf.constant(rng.normal(size=shape), state_dtype), tf.constant(rng.normal(size=shape), state_dtype)


def by_plain_differentiation(layer, y, w):
    """Differentiate sum(w * block(y)) through an unrolled loop without any gradient of ours around the steps."""
    with tf.GradientTape() as tape:
        tape.watch(y)
        theta = layer.theta()
        state = layer.integrator.start(y)
        for j in range(layer.steps):
            F = dataclasses.replace(layer.field, plain=True).bind({name: weight[j] for name, weight in theta.items()})
            state = layer.integrator.step(F, layer.current_step_size(), state, j)
        loss = tf.reduce_sum(layer.integrator.finish(state) * w)
    return tape.gradient(loss, [y, *(weight.value for weight in layer.weights)])


def by_layer(layer, y, w):
    with tf.GradientTape() as tape:
        tape.watch(y)
        loss = tf.reduce_sum(layer(y) * w)
    return tape.gradient(loss, [y, *(weight.value for weight in layer.weights)])


def error(found, expected):
    """Return the largest relative difference in the 2-norm."""
    pairs = ((np.asarray(a, float), np.asarray(b, float)) for a, b in zip(found, expected, strict=True))
    return max(np.linalg.norm(a - b) / np.linalg.norm(b) for a, b in pairs)


@pytest.mark.parametrize(("block", "backprop", "every"), CASES)
@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-10), ("float32", 1e-5)])
def test_gradient_in_a_graph(block, backprop, every, dtype, tolerance):
    layer, y, w = make(block, backprop, every, dtype)
    found = tf.function(lambda y: by_layer(layer, y, w))(y)
    assert error(found, by_plain_differentiation(layer, y, w)) < tolerance


@pytest.mark.parametrize("stored_steps", [1, 2, 4, 6, 7, 9])
@pytest.mark.parametrize(
    ("block", "backprop", "every"),
    [
        ("HamiltonianBlock", "reversible", None),
        ("SecondOrderBlock", "reversible", 2),
        ("ResidualBlock", "checkpointed", 2),
    ],
)
def test_gradient_with_stored_last_steps(block, backprop, every, stored_steps):
    layer, y, w = make(block, backprop, every, steps=7, stored_steps=stored_steps)
    expected = by_plain_differentiation(layer, y, w)
    assert error(tf.function(lambda y: by_layer(layer, y, w))(y), expected) < 1e-10
    assert error(by_layer(layer, y, w), expected) < 1e-10


@pytest.mark.parametrize(("block", "backprop", "every"), CASES)
def test_gradient_eagerly(block, backprop, every):
    layer, y, w = make(block, backprop, every)
    assert error(by_layer(layer, y, w), by_plain_differentiation(layer, y, w)) < 1e-10


@pytest.mark.slow
@pytest.mark.parametrize("stored_steps", [0, 2])
@pytest.mark.parametrize(
    ("block", "backprop", "every"),
    [
        ("HamiltonianBlock", "reversible", None),
        ("SecondOrderBlock", "reversible", 3),
        ("ParabolicBlock", "checkpointed", 3),
        ("ResidualBlock", "stored", None),
    ],
)
def test_gradient_under_xla(block, backprop, every, stored_steps):
    layer, y, w = make(block, backprop, every, stored_steps=stored_steps)
    found = tf.function(lambda y: by_layer(layer, y, w), jit_compile=True)(y)
    assert error(found, by_plain_differentiation(layer, y, w)) < 1e-10


@pytest.mark.parametrize("rank", [1, 3])
@pytest.mark.parametrize("padding", ["same", "periodic"])
@pytest.mark.parametrize(("block", "backprop"), [(b, "reversible") for b in HYPERBOLIC] + [("ResidualBlock", "stored")])
def test_gradient_on_other_ranks(block, backprop, padding, rank):
    layer, y, w = make(block, backprop, None, rank=rank, padding=padding)
    found = tf.function(lambda y: by_layer(layer, y, w))(y)
    assert error(found, by_plain_differentiation(layer, y, w)) < 1e-10


@pytest.mark.parametrize(
    "settings",
    [{"normalization": None}, {"use_bias": False}, {"filters": 3}, {"kernel_size": 5}, {"activation": "relu"}],
)
@pytest.mark.parametrize("block", HYPERBOLIC)
def test_gradient_with_other_settings(block, settings):
    layer, y, w = make(block, "reversible", None, **settings)
    assert error(by_layer(layer, y, w), by_plain_differentiation(layer, y, w)) < 1e-10


@pytest.mark.parametrize(
    "settings",
    [
        {"normalization": "scale"},
        {"normalization": "shrinkage", "activation": "relu"},
        {"normalization": "shrinkage", "activation": "linear", "use_bias": False},
    ],
    ids=["scale", "shrinkage", "linear shrinkage"],
)
@pytest.mark.parametrize(
    ("block", "backprop", "every"),
    [
        ("HamiltonianBlock", "reversible", None),
        ("SecondOrderBlock", "reversible", 3),
        ("HamiltonianBlock", "checkpointed", 3),
        ("ParabolicBlock", "stored", None),
    ],
)
def test_gradient_with_an_automatic_step(block, backprop, every, settings):
    """No gradient goes through h, in no mode; some scales are negative, and act as 0."""
    layer, y, w = make(block, backprop, every, step_size="auto", **settings)
    assert 0 < layer.current_step_size() < 1
    expected = by_plain_differentiation(layer, y, w)
    assert error(tf.function(lambda y: by_layer(layer, y, w))(y), expected) < 1e-10
    assert error(by_layer(layer, y, w), expected) < 1e-10


@pytest.mark.parametrize("settings", [{"normalization": "scale"}, {"normalization": "shrinkage", "activation": "relu"}])
def test_gradient_of_the_residual_block_with_other_normalizations(settings):
    layer, y, w = make("ResidualBlock", "checkpointed", None, **settings)
    assert error(by_layer(layer, y, w), by_plain_differentiation(layer, y, w)) < 1e-10


class ReversibleResidualBlock(layers.PDEBlock):
    """Verlet steps with the general layer, which has two kernels for each of its two fields."""

    integrator = layers.HamiltonianBlock.integrator
    symmetric = False


@pytest.mark.parametrize("backprop", ["reversible", "checkpointed"])
def test_gradient_of_general_layers_on_two_parts(backprop, monkeypatch):
    monkeypatch.setattr(layers, "ReversibleResidualBlock", ReversibleResidualBlock, raising=False)
    layer, y, w = make("ReversibleResidualBlock", backprop, None, padding="periodic")
    assert layer.kernel.shape[:2] == (4, 4)
    found = by_layer(layer, y, w)
    assert error(found, by_plain_differentiation(layer, y, w)) < 1e-12
    # Each of the four kernels has its gradient, and the block follows its equation.
    assert np.all(np.any(np.asarray(found[1]), axis=(2, 3, 4, 5)))
    u, v = np.split(np.asarray(y), 2, axis=-1)
    theta = {name: np.asarray(weight) for name, weight in layer.theta().items()}
    settings = {"activation": keras.activations.tanh, "padding": "periodic"}
    for j in range(4):
        (k1, k2, k3, k4), scale, bias = (theta[name][j] for name in ("kernel", "scale", "bias"))
        u = u + 0.5 * ops.general_layer(v, k1, ops.adjoint_kernel(k2), scale[0], bias[0], **settings)
        v = v - 0.5 * ops.general_layer(u, k3, ops.adjoint_kernel(k4), scale[1], bias[1], **settings)
    np.testing.assert_allclose(layer(y), np.concatenate([u, v], axis=-1), atol=1e-12)


@pytest.mark.slow
def test_gradient_with_an_automatic_step_under_xla():
    settings = {"normalization": "shrinkage", "activation": "relu"}
    layer, y, w = make("HamiltonianBlock", "reversible", None, step_size="auto", **settings)
    found = tf.function(lambda y: by_layer(layer, y, w), jit_compile=True)(y)
    assert error(found, by_plain_differentiation(layer, y, w)) < 1e-10


# With ReLU, rounding while steps are undone may flip entries of its mask.
@pytest.mark.parametrize(("activation", "tolerance"), [("tanh", 1e-5), ("relu", 1e-3)])
@pytest.mark.parametrize("block", HYPERBOLIC)
def test_sixteen_steps_in_float32(block, activation, tolerance):
    layer, y, w = make(block, "reversible", None, "float32", steps=16, step_size=0.25, activation=activation)
    found = tf.function(lambda y: by_layer(layer, y, w))(y)
    assert error(found, by_plain_differentiation(layer, y, w)) < tolerance


@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize("block", HYPERBOLIC)
def test_many_steps_in_float32_lose_few_digits(block, jit_compile):
    """From 64 steps on the gradients are gathered in parts, of which the last one is shorter."""
    layer, y, w = make(block, "reversible", None, "float32", steps=100, step_size=0.01)
    exact, _, _ = make(block, "stored", None, "float64", steps=100, step_size=0.01)
    expected = by_layer(exact, tf.cast(y, "float64"), tf.cast(w, "float64"))
    stored, _, _ = make(block, "stored", None, "float32", steps=100, step_size=0.01)
    # The weights are drawn anew for each type from the same seed, so that they agree to rounding.
    limit = 10 * error(tf.function(lambda y: by_layer(stored, y, w))(y), expected)
    found = tf.function(lambda y: by_layer(layer, y, w), jit_compile=jit_compile)(y)
    assert error(found, expected) < limit


@pytest.mark.parametrize("stored_steps", [0, 2])
@pytest.mark.parametrize("backprop", ["reversible", "checkpointed", "stored"])
def test_two_backward_passes_through_one_tape(backprop, stored_steps):
    layer, y, w = make("HamiltonianBlock", backprop, None, stored_steps=stored_steps)
    variables = [weight.value for weight in layer.weights]
    with tf.GradientTape(persistent=True) as tape:
        loss = tf.reduce_sum(layer(y) * w)
    first, second = tape.gradient(loss, variables), tape.gradient(loss, variables)
    assert error(second, first) == 0
    assert error(first, by_plain_differentiation(layer, y, w)[1:]) < 1e-10


@pytest.mark.parametrize("stored_steps", [0, 2])
@pytest.mark.parametrize("backprop", ["reversible", "checkpointed"])
def test_second_derivative(backprop, stored_steps):
    def hessian_product(layer, y, w, d):
        with tf.GradientTape() as outer:
            outer.watch(y)
            with tf.GradientTape() as inner:
                inner.watch(y)
                loss = tf.reduce_sum(layer(y) * w)
            slope = tf.reduce_sum(inner.gradient(loss, y) * d)
        return outer.gradient(slope, y)

    layer, y, w = make("SecondOrderBlock", backprop, None, stored_steps=stored_steps)
    plain, _, _ = make("SecondOrderBlock", "stored", None)
    direction = tf.ones_like(y)
    expected = hessian_product(plain, y, w, direction)
    assert error([hessian_product(layer, y, w, direction)], [expected]) < 1e-10


@pytest.mark.parametrize("backprop", ["reversible", "checkpointed", "stored"])
def test_frozen_layer_passes_the_gradient_on(backprop):
    layer, y, w = make("SecondOrderBlock", backprop, None)
    expected = by_plain_differentiation(layer, y, w)[0]
    layer.trainable = False
    model = keras.Sequential([keras.Input(y.shape[1:], dtype="float64"), layer])
    assert model.trainable_variables == []
    with tf.GradientTape() as tape:
        tape.watch(y)
        loss = tf.reduce_sum(model(y) * w)
    assert error([tape.gradient(loss, y)], [expected]) < 1e-10


@pytest.mark.parametrize("backprop", ["reversible", "checkpointed", "stored"])
def test_gradient_accumulates_as_it_does_in_one_batch(backprop):
    layer, y, w = make("HamiltonianBlock", backprop, None)
    whole = by_layer(layer, y, w)[1:]
    halves = [by_layer(layer, y[i : i + 1], w[i : i + 1])[1:] for i in range(2)]
    assert error([a + b for a, b in zip(*halves, strict=True)], whole) < 1e-12


@pytest.mark.parametrize("backprop", ["reversible", "checkpointed", "stored"])
def test_nested_models(backprop):
    layer, y, w = make("HamiltonianBlock", backprop, None)
    inner = keras.Sequential([keras.Input(y.shape[1:], dtype="float64"), layer])
    outer = keras.Sequential([keras.Input(y.shape[1:], dtype="float64"), inner])
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(outer(y, training=True) * w)
    found = tape.gradient(loss, [weight.value for weight in layer.weights])
    assert error(found, by_plain_differentiation(layer, y, w)[1:]) < 1e-10


def test_dropout_and_batch_statistics_between_blocks_are_applied_once():
    calls = []

    class Counting(keras.layers.Layer):
        def call(self, y):
            tf.py_function(lambda: calls.append(1), [], [])
            return y

    normalization = keras.layers.BatchNormalization(momentum=0.0)
    model = keras.Sequential(
        [
            keras.Input((6, 6, 4)),
            layers.HamiltonianBlock(5, backprop="reversible"),
            Counting(),
            keras.layers.Dropout(0.5, seed=1),
            normalization,
            layers.HamiltonianBlock(5, backprop="reversible"),
            keras.layers.GlobalAveragePooling2D(),
        ]
    )
    model.compile("sgd", "mse")
    x = np.random.default_rng(0).normal(size=(8, 6, 6, 4)).astype("float32")
    model.train_on_batch(x, np.zeros((8, 4)))
    calls.clear()
    model.train_on_batch(x, np.zeros((8, 4)))
    assert len(calls) == 1


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
@pytest.mark.parametrize(("block", "backprop", "every"), CASES)
def test_mixed_precision(block, backprop, every, policy):
    layer, y, w = make(block, backprop, every, policy)
    reference, _, _ = make(block, "stored", None, "float32")
    found = by_layer(layer, y, w)
    assert all(gradient.dtype == tf.float32 for gradient in found)
    assert error(found, by_layer(reference, y, w)) < (0.1 if policy == "mixed_bfloat16" else 0.015)


@pytest.mark.parametrize(
    ("policy", "settings"),
    [
        ("mixed_bfloat16", {"normalization": "shrinkage", "activation": "linear"}),
        ("mixed_float16", {"normalization": "scale"}),
    ],
)
def test_mixed_precision_with_an_automatic_step(policy, settings):
    layer, y, w = make("HamiltonianBlock", "reversible", None, policy, step_size="auto", **settings)
    reference, _, _ = make("HamiltonianBlock", "stored", None, "float32", step_size="auto", **settings)
    assert layer.current_step_size().dtype == tf.float32
    assert layer.current_step_size() == reference.current_step_size()
    assert error(by_layer(layer, y, w), by_layer(reference, y, w)) < (0.1 if policy == "mixed_bfloat16" else 0.015)
