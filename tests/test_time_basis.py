"""Weights as functions of time: the bases, and blocks and networks whose weights are coefficients."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_pdecnn import layers, models, stability
from keras_pdecnn.constraints import Box
from keras_pdecnn.ops.backprop import BACKPROPS
from keras_pdecnn.ops.time_basis import TIME_BASES, combine, matrix, unit
from keras_pdecnn.regularizers import TimeSmoothness

BLOCKS = [layers.ParabolicBlock, layers.HamiltonianBlock, layers.SecondOrderBlock, layers.ResidualBlock]
MODES = [(block, mode) for block in BLOCKS for mode in BACKPROPS if mode != "reversible"]
MODES += [(block, "reversible") for block in (layers.HamiltonianBlock, layers.SecondOrderBlock)]

every_basis = pytest.mark.parametrize("basis", TIME_BASES)


def gap(a, b):
    return np.max(np.abs(keras.ops.convert_to_numpy(a) - keras.ops.convert_to_numpy(b)))


def phi(basis, k, size, s):
    """Return phi_k at t = s T by its definition."""
    if basis == "constant":
        return float(k / size <= s < (k + 1) / size)
    if basis == "linear":
        return max(0.0, 1 - abs(s - k / (size - 1)) * (size - 1)) if size > 1 else 1.0
    return np.cos(np.pi * k * s)


@pytest.mark.parametrize(("steps", "size"), [(12, 3), (8, 4), (7, 3), (5, 5), (6, 1), (1, 1), (3, 5), (1, 2)])
@every_basis
def test_matrix_holds_the_functions_at_the_times_of_the_steps(basis, steps, size):
    # 1e-12 keeps the ends of the intervals where they are in exact arithmetic.
    expected = [[phi(basis, k, size, j / steps + 1e-12) for k in range(size)] for j in range(steps)]
    np.testing.assert_allclose(matrix(basis, steps, size), expected, atol=1e-10)
    np.testing.assert_allclose(matrix(basis, steps, size) @ unit(basis, size), np.ones(steps), atol=1e-15)


@pytest.mark.parametrize("steps", [1, 2, 5, 12])
@every_basis
def test_as_many_functions_as_steps_are_a_basis(basis, steps):
    assert np.linalg.matrix_rank(matrix(basis, steps, steps)) == steps
    assert np.array_equal(matrix("constant", steps, steps), np.eye(steps))


def test_combine_keeps_the_type_of_the_coefficients(rng):
    coefficients = rng.normal(size=(3, 2, 5))
    theta = combine(matrix("linear", 6, 3), coefficients.astype("float32"))
    assert theta.dtype == "float32"
    assert gap(theta, np.einsum("jk,kab->jab", matrix("linear", 6, 3), coefficients)) < 1e-6


@pytest.mark.parametrize(("basis", "steps", "size"), [("fourier", 3, 3), ("linear", 0, 3), ("linear", 3, 0)])
def test_matrix_refuses(basis, steps, size):
    with pytest.raises(ValueError, match="Received: "):
        matrix(basis, steps, size)


# Blocks.


@pytest.mark.parametrize(("block", "backprop"), MODES)
@every_basis
def test_as_many_functions_as_steps_are_the_plain_block(float64, rng, randomize, basis, block, backprop):
    """After the change of coefficients, theta = B c: outputs, gradients (dc = B^T dtheta), trajectory."""
    y = tf.constant(rng.normal(size=(2, 4, 3, 4)))
    settings = {"step_size": 0.5, "activation": "tanh", "backprop": backprop}
    plain, changed = block(4, **settings), block(4, **settings, time_basis=basis)
    for layer in (plain, changed):
        layer.build(y.shape)
    randomize(plain)
    change = matrix(basis, 4, 4)
    for weight, own in zip(changed.weights, plain.weights, strict=True):
        assert weight.shape == own.shape
        weight.assign(np.tensordot(np.linalg.inv(change), own, axes=1))

    results = []
    for layer in (plain, changed):
        with tf.GradientTape() as tape:
            tape.watch(y)
            out = layer(y)
            total = tf.reduce_sum(tf.sin(out))
        results.append((out, *tape.gradient(total, [y, *(weight.value for weight in layer.weights)])))
    (out, dy, *dtheta), (out_changed, dy_changed, *dc) = results
    assert gap(out, out_changed) < 1e-13
    assert gap(dy, dy_changed) < 1e-13 * np.max(np.abs(dy))
    for of_theta, of_c in zip(dtheta, dc, strict=True):
        assert gap(np.tensordot(change.T, of_theta, axes=1), of_c) < 1e-12 * np.max(np.abs(of_theta))
    assert gap(plain.trajectory(y), changed.trajectory(y)) < 1e-13


def test_coefficients_of_fewer_functions(float64, rng, randomize):
    """Twelve steps with three sets of weights are the plain block with theta(t_j), and its inverse."""
    y = rng.normal(size=(2, 4, 3, 4))
    layer = layers.HamiltonianBlock(12, 0.1, time_basis="cosine", basis_size=3)
    layer.build(y.shape)
    randomize(layer)
    assert [tuple(weight.shape) for weight in layer.weights] == [(3, 2, 3, 3, 2, 2), (3, 2, 2), (3, 2, 2)]
    plain = layers.HamiltonianBlock(12, 0.1)
    plain.build(y.shape)
    for name, theta in layer.theta().items():
        assert theta.shape[0] == 12
        getattr(plain, name).assign(theta)
    assert gap(layer(y), plain(y)) == 0
    assert gap(layer.inverse(layer(y)), y) < 1e-10


@every_basis
def test_theta_starts_constant_in_time_as_without_a_basis(basis):
    initializer = keras.initializers.HeNormal(seed=1)
    plain = layers.HamiltonianBlock(6, kernel_initializer=initializer)
    layer = layers.HamiltonianBlock(6, kernel_initializer=initializer, time_basis=basis, basis_size=4)
    for block in (plain, layer):
        block.build((None, 4, 4, 4))
    for name, theta in layer.theta().items():
        assert gap(theta, plain.theta()[name]) < 1e-7
    assert np.all(layer.scale.numpy().sum(axis=0) == (1 if basis == "cosine" else 4))


@every_basis
def test_regularizer_acts_on_the_values_in_time(float64, rng, randomize, basis):
    keras.config.set_floatx("float64")
    regularizer = TimeSmoothness(0.3, 0.7, 0.5)
    layer = layers.ParabolicBlock(
        6,
        0.5,
        time_basis=basis,
        basis_size=3,
        kernel_regularizer=regularizer,
        scale_regularizer=regularizer,
        bias_regularizer=TimeSmoothness(0.0, 0.02, 1.0),
        kernel_constraint=Box(-0.2, 0.2),
    )
    layer.build((None, 4, 4, 2))
    randomize(layer)
    change = matrix(basis, 6, 3)
    kernel, scale, bias = (np.tensordot(change, weight, axes=1) for weight in layer.weights)
    kernel = np.clip(kernel, -0.2, 0.2)

    def by_hand(theta):
        variation = np.sum(np.sqrt((np.diff(theta, axis=0) / 0.5) ** 2 + 1e-3))
        return 0.3 * 0.5 * variation + 0.7 / 2 * 0.5 * np.sum(theta**2)

    with tf.GradientTape() as tape:
        losses = layer.losses
        total = tf.add_n(losses)
    for found, expected in zip(losses, (by_hand(kernel), by_hand(scale), 0.01 * np.sum(bias**2)), strict=True):
        assert abs(found - expected) < 1e-12 * expected
    assert gap(tape.gradient(total, layer.bias.value), 0.02 * np.tensordot(change.T, bias, axes=1)) < 1e-12
    assert layer.get_config()["kernel_regularizer"]["config"] == regularizer.get_config()


@every_basis
def test_box_holds_for_the_values_in_time_after_training(rng, basis):
    block = layers.ParabolicBlock(6, 0.5, time_basis=basis, basis_size=4, kernel_constraint=Box(-0.3, 0.3))
    model = keras.Sequential([keras.Input((4, 4, 2)), block])
    model.compile(keras.optimizers.SGD(0.5, momentum=0.9), "mse")
    x, target = rng.normal(size=(2, 8, 4, 4, 2))
    model.fit(x, 5 * target, epochs=20, verbose=0)
    kernel = block.theta()["kernel"].numpy()
    assert np.max(np.abs(kernel)) == np.float32(0.3)
    assert np.max(np.abs(np.diff(kernel, axis=0))) > 0.05
    # The coefficients stay next to what the box lets through.
    nearest = np.tensordot(np.linalg.pinv(matrix(basis, 6, 4)), kernel, axes=1)
    assert gap(block.kernel, nearest) < 0.15
    if basis == "constant":
        assert np.max(np.abs(block.kernel.numpy())) <= np.float32(0.3) * (1 + 1e-6)


def test_entries_on_the_bound_can_leave_it(float64, rng):
    """Where the box cuts off, the gradient is that of the value at the bound, as without a basis."""
    y = rng.normal(size=(2, 4, 4, 2))
    settings = {"activation": "tanh", "kernel_constraint": Box(-0.1, 0.1)}
    plain, layer = layers.ParabolicBlock(4, **settings), layers.ParabolicBlock(4, **settings, time_basis="constant")
    theta, gradients = rng.uniform(-0.2, 0.2, (4, 1, 3, 3, 2, 2)), []
    for block in (plain, layer):
        block.build(y.shape)
        block.kernel.assign(theta if block is layer else np.clip(theta, -0.1, 0.1))
        with tf.GradientTape() as tape:
            total = tf.reduce_sum(tf.sin(block(y)))
        gradients.append(tape.gradient(total, block.kernel.value))
    assert gap(*gradients) < 1e-13
    assert np.all(gradients[0] != 0)


def test_step_limits_are_those_of_the_values_in_time(randomize):
    layer = layers.ParabolicBlock(5, normalization=None, time_basis="linear", basis_size=2)
    layer.build((None, 4, 4, 2))
    randomize(layer)
    limits = stability.step_limit(layer)
    norms = stability.operator_norm(layer.theta()["kernel"])
    np.testing.assert_allclose(limits, 2 / norms[:, 0] ** 2, rtol=1e-12)
    assert limits.shape == (5,)


@pytest.mark.parametrize(
    "settings",
    [
        {"time_basis": "fourier"},
        {"time_basis": 3},
        {"basis_size": 2},
        {"basis_size": 0, "time_basis": "linear"},
        {"basis_size": 1.5, "time_basis": "linear"},
        {"basis_size": True, "time_basis": "linear"},
    ],
    ids=str,
)
def test_block_refuses(settings):
    with pytest.raises(ValueError, match=r"Received: " + next(iter(settings))):
        layers.ParabolicBlock(4, **settings)


# Networks.


def network(architecture="hamiltonian", basis="cosine", **settings):
    settings = {"time_smoothness": 1e-3, "weight_decay": 1e-3, "box": 1.0, "step_size": 0.5, **settings}
    builder = models.ARCHITECTURES[architecture]
    return builder((8, 8, 3), 3, widths=(4, 6), steps=(4, 6), time_basis=basis, basis_size=3, **settings)


@pytest.fixture
def images(rng):
    return rng.uniform(0, 255, size=(4, 8, 8, 3)).astype("float32")


@pytest.mark.parametrize(("architecture", "basis"), [("hamiltonian", "cosine"), ("residual", "linear")])
def test_network_survives_saving_cloning_and_other_steps(tmp_path, images, randomize, architecture, basis):
    model = randomize(network(architecture, basis))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    clone = keras.models.clone_model(model)
    clone.set_weights(model.get_weights())
    there_and_back = loaded.with_steps((8, 3)).with_steps((4, 6))
    for other in (loaded, clone, there_and_back):
        assert isinstance(other, models.PDEModel)
        assert gap(other(images), model(images)) < 1e-6
        assert gap(other.losses, model.losses) < 1e-6
        assert [block.get_config() for block in other.blocks] == [block.get_config() for block in model.blocks]

    model.with_steps(12).save(tmp_path / "finer.keras")
    finer = keras.models.load_model(tmp_path / "finer.keras")
    for block, old in zip(finer.blocks, model.blocks, strict=True):
        assert (block.steps, block.step_size) == (12, 0.5 * old.steps / 12)
        assert block.kernel_regularizer.step_size == block.step_size
        assert block.theta()["kernel"].shape[0] == 12
        assert gap(block.theta()["kernel"][:: 12 // old.steps], old.theta()["kernel"]) < 1e-6
    assert all(map(np.array_equal, finer.get_weights(), model.get_weights()))


@pytest.mark.parametrize("basis", ["linear", "cosine"])
def test_more_steps_converge(float64, rng, randomize, basis):
    """Twice the steps, half the error, for theta(t) without jumps: the network is one of continuous time."""
    y = rng.normal(size=(2, 4, 4, 2))
    layer = layers.ParabolicBlock(4, 0.25, activation="tanh", time_basis=basis, basis_size=3)
    layer.build(y.shape)
    randomize(layer)

    def output(steps):
        block = layer.with_steps(steps)
        block.build(y.shape)
        block.set_weights(layer.get_weights())
        return block(y)

    outputs = [output(steps) for steps in (16, 32, 64, 128)]
    changes = [gap(a, b) for a, b in itertools.pairwise(outputs)]
    assert np.all(np.abs(np.log2(np.divide(changes[:-1], changes[1:])) - 1) < 0.15)


def test_new_model_is_compiled_as_the_old_one(images):
    model = network()
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
    assert len(model.with_steps(5).evaluate(images, np.arange(4) % 3, verbose=0)) == 2


def test_with_steps_refuses():
    plain = models.ParabolicCNN((8, 8, 3), 3, widths=(4, 4))
    for model, steps in itertools.product((network(), plain), (0, 1.5, "auto", (3,), (3, 3, 3), None)):
        with pytest.raises(ValueError, match=r"Received: steps="):
            model.with_steps(steps)


@pytest.mark.parametrize(
    ("policy", "settings"),
    [
        ("mixed_bfloat16", {"backprop": "checkpointed"}),
        pytest.param("float32", {"jit_compile": True}, marks=pytest.mark.slow),
    ],
    ids=str,
)
def test_training_under_a_mixed_policy_and_under_xla(images, policy, settings):
    keras.config.set_dtype_policy(policy)
    jit = settings.pop("jit_compile", False)
    model = network("second_order", **settings)
    model.compile(keras.optimizers.SGD(0.05, momentum=0.9), "sparse_categorical_crossentropy", jit_compile=jit)
    losses = model.fit(images, np.arange(4) % 3, epochs=6, verbose=0).history["loss"]
    assert losses[-1] < 0.9 * losses[0]
    assert all(weight.dtype == "float32" for weight in model.weights)
    assert all(np.max(np.ptp(block.theta()["kernel"], axis=0)) > 1e-4 for block in model.blocks)


@pytest.mark.slow
def test_export(tmp_path, images, randomize):
    model = randomize(network())
    model.export(tmp_path / "model", verbose=False)
    assert gap(tf.saved_model.load(tmp_path / "model").serve(images), model(images)) < 1e-5


def test_replicas_agree_with_one_device(images, two_devices):
    labels = np.arange(4) % 3

    def train():
        keras.utils.set_random_seed(0)
        model = network("parabolic", "linear", synchronized=True)
        model.compile(keras.optimizers.SGD(0.05), "sparse_categorical_crossentropy")
        model.fit(images, labels, batch_size=4, epochs=2, shuffle=False, verbose=0)
        return [weight.numpy() for weight in model.blocks[0].weights]

    alone = train()
    with two_devices.scope():
        together = train()
    assert all(gap(a, b) < 1e-5 for a, b in zip(alone, together, strict=True))
