import json

import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_pdecnn import constraints, initializers, layers, ops, regularizers
from keras_pdecnn.layers.batch_normalization import BatchNormalization
from keras_pdecnn.ops.backprop import BACKPROPS

BLOCKS = [layers.ParabolicBlock, layers.HamiltonianBlock, layers.SecondOrderBlock, layers.ResidualBlock]
REVERSIBLE = [layers.HamiltonianBlock, layers.SecondOrderBlock]
SPACES = [(7,), (5, 6), (3, 4, 5)]
MODES = [(block, mode) for block in BLOCKS for mode in BACKPROPS if mode != "reversible"]
MODES += [(block, "reversible") for block in REVERSIBLE]

every_block = pytest.mark.parametrize("block", BLOCKS, ids=lambda b: b.__name__)
every_mode_default_fast = pytest.mark.parametrize(
    ("block", "backprop"),
    [
        (block, mode) if block(1).backprop == mode else pytest.param(block, mode, marks=pytest.mark.slow)
        for block, mode in MODES
    ],
)
every_mode = pytest.mark.parametrize(("block", "backprop"), MODES)
every_way = pytest.mark.parametrize("how", ["eager", "graph", pytest.param("xla", marks=pytest.mark.slow)])
every_space = pytest.mark.parametrize("space", SPACES, ids=lambda s: f"{len(s)}D")


def make(block, y, randomize=lambda layer: layer, steps=3, **settings):
    layer = block(steps, **settings)
    layer.build(y.shape)
    return randomize(layer)


def copy_weights(source, target, **index):
    for name in ("kernel", "scale", "bias"):
        getattr(target, name).assign(getattr(source, name)[index.get(name, ())])


def gap(a, b):
    return np.max(np.abs(keras.ops.convert_to_numpy(a) - keras.ops.convert_to_numpy(b)))


def by_hand(layer, y):
    """Take the steps of a block with evaluations of F_sym, as the equations of the paper have them."""

    def symmetric(j, field, x):
        theta = [getattr(layer, name)[j, field] for name in ("kernel", "scale", "bias")]
        return ops.symmetric_layer(x, *theta, activation=layer.activation, padding=layer.padding)

    h, older = layer.step_size, y
    for j in range(layer.steps):
        if isinstance(layer, layers.ParabolicBlock):
            y = y + h * symmetric(j, 0, y)
        elif isinstance(layer, layers.SecondOrderBlock):
            y, older = 2 * y - older + h**2 * symmetric(j, 0, y), y
        elif isinstance(layer, layers.HamiltonianBlock):
            first, second = np.split(y, 2, axis=-1)
            first = first + h * symmetric(j, 0, second)
            second = second - h * symmetric(j, 1, first)
            y = np.concatenate([first, second], axis=-1)
        else:
            inner, outer = layer.kernel[j, 0], ops.adjoint_kernel(layer.kernel[j, 1])
            theta = layer.scale[j, 0], layer.bias[j, 0]
            y = y + h * ops.general_layer(y, inner, outer, *theta, activation=layer.activation, padding=layer.padding)
    return y


# The equations.


@pytest.mark.parametrize("padding", ["same", "periodic"])
@every_mode
def test_block_follows_its_equation(float64, rng, randomize, block, backprop, padding):
    y = rng.normal(size=(2, 5, 6, 4))
    layer = make(block, y, randomize, step_size=0.4, filters=3, padding=padding, backprop=backprop)
    assert gap(layer(y), by_hand(layer, y)) < 1e-13


@every_space
@every_block
def test_block_follows_its_equation_in_every_dimension(float64, rng, randomize, block, space):
    y = rng.normal(size=(2, *space, 4))
    layer = make(block, y, randomize, step_size=0.4)
    assert gap(layer(y), by_hand(layer, y)) < 1e-13


def test_second_order_block_is_the_three_term_recurrence(float64, rng, randomize):
    y = rng.normal(size=(2, 5, 6, 4))
    layer = make(layers.SecondOrderBlock, y, randomize, steps=4, step_size=0.7)
    states = [y, *keras.ops.convert_to_numpy(layer.trajectory(y))]
    field = layers.SymmetricConv()
    field.build(y.shape)
    for j in range(4):
        copy_weights(layer, field, kernel=(j, 0), scale=(j, 0), bias=(j, 0))
        expected = 2 * states[j + 1] - states[j] + 0.7**2 * keras.ops.convert_to_numpy(field(states[j + 1]))
        assert gap(states[j + 2], expected) < 1e-13


def test_residual_block_with_opposite_kernels_is_the_parabolic_block(float64, rng, randomize):
    y = rng.normal(size=(2, 5, 6, 4))
    parabolic, residual = make(layers.ParabolicBlock, y, randomize), make(layers.ResidualBlock, y)
    residual.scale.assign(parabolic.scale)
    residual.bias.assign(parabolic.bias)
    kernel = parabolic.kernel.numpy()
    residual.kernel.assign(np.concatenate([kernel, -kernel], axis=1))
    assert gap(residual(y), parabolic(y)) < 1e-14


def test_symmetric_conv_is_one_step_of_the_parabolic_block(float64, rng, randomize):
    y = rng.normal(size=(2, 5, 6, 4))
    block, field = make(layers.ParabolicBlock, y, randomize, steps=1), layers.SymmetricConv()
    field.build(y.shape)
    copy_weights(block, field, kernel=(0, 0), scale=(0, 0), bias=(0, 0))
    assert gap(block(y) - y, field(y)) < 1e-14


def test_tv_normalization_formula(float64, rng, randomize):
    u, layer = rng.normal(size=(2, 5, 6, 4)), layers.TVNormalization(epsilon=1e-2)
    layer.build(u.shape)
    randomize(layer)
    expected = layer.scale.numpy() * u / np.sqrt(np.sum(u**2, axis=-1, keepdims=True) + 1e-2) + layer.bias.numpy()
    assert gap(layer(u), expected) < 1e-14


def test_tv_normalization_in_float16_does_not_overflow(rng):
    u = rng.uniform(250, 350, size=(2, 4, 4, 64))
    normalized = layers.TVNormalization(dtype="mixed_float16")(u)
    assert gap(keras.ops.cast(normalized, "float32"), u / np.linalg.norm(u, axis=-1, keepdims=True)) < 1e-3


@every_space
def test_standardization_by_hand(float64, rng, space):
    x = rng.uniform(0, 255, size=(3, *space, 2))
    flat = x.reshape(3, -1)
    expected = (flat - flat.mean(1, keepdims=True)) / flat.std(1, keepdims=True)
    assert gap(layers.Standardization()(x), expected.reshape(x.shape)) < 1e-12


def test_standardization_bounds_the_standard_deviation_from_below(float64):
    x = np.zeros((1, 4, 4, 1))
    x[0, 0, 0, 0] = 1e-3
    expected = (x - x.mean()) * np.sqrt(16)
    assert gap(layers.Standardization()(x), expected) < 1e-14
    assert gap(layers.Standardization()(np.full((1, 4, 4, 1), 7.0)), 0.0) == 0


@every_space
def test_connector_by_hand(float64, rng, randomize, space):
    y = rng.normal(size=(2, *space, 3))
    layer = layers.Connector(4)
    layer.build(y.shape)
    randomize(layer)
    bn = layer.normalization
    mean, variance, gamma, beta = (w.numpy() for w in (bn.moving_mean, bn.moving_variance, bn.gamma, bn.beta))
    u = y @ layer.kernel.numpy().reshape(3, 4)
    u = np.maximum(gamma * (u - mean) / np.sqrt(variance + bn.epsilon) + beta, 0)
    for axis, size in enumerate(space, start=1):
        whole = np.take(u, range(2 * (size // 2)), axis=axis)
        u = (np.take(whole, range(0, size - 1, 2), axis=axis) + np.take(whole, range(1, size, 2), axis=axis)) / 2
    assert gap(layer(y), u) < 1e-13


@every_space
def test_bounded_connector_by_hand(float64, rng, randomize, space):
    y = rng.normal(size=(2, *space, 3))
    layer = layers.BoundedConnector(4)
    layer.build(y.shape)
    randomize(layer)
    # All pixels of a window, one after the other, times a matrix of norm 1.
    inner = [n // 2 for n in space]
    windows = y[(slice(None), *(slice(0, 2 * n) for n in inner))]
    windows = windows.reshape(2, *(size for n in inner for size in (n, 2)), 3)
    axes = [*range(0, 2 * len(space), 2), *range(1, 2 * len(space), 2)]
    windows = windows.transpose(0, *(1 + axis for axis in axes), 2 * len(space) + 1).reshape(2, *inner, -1)
    matrix = layer.kernel.numpy().reshape(-1, 4)
    largest = np.linalg.norm(matrix, 2)
    u = np.maximum(windows @ matrix / largest + layer.bias.numpy(), 0)
    # The bound of the norm may be above it, by little.
    assert 0.95 < np.linalg.norm(layer.inference_kernel().numpy().reshape(-1, 4), 2) <= 1
    bound = np.linalg.norm(layer.inference_kernel().numpy()) / np.linalg.norm(matrix) * largest
    assert gap(layer(y), np.maximum(windows @ matrix / largest * bound + layer.bias.numpy(), 0)) < 1e-13
    assert layer(y).shape == layer.compute_output_shape(y.shape) == u.shape


@pytest.mark.parametrize("layer", [layers.Connector, layers.BoundedConnector])
@every_space
def test_strides_keep_pixels_of_the_convolution(float64, rng, randomize, layer, space):
    y = rng.normal(size=(2, *space, 3))
    dense, strided = (layer(4, kernel_size=5, pool_size=1, strides=s) for s in (1, 2))
    dense.build(y.shape)
    strided.build(y.shape)
    strided.set_weights(randomize(dense).get_weights())
    # The zeros are divided evenly between both ends: a stride of 2 keeps the odd pixels of an even number.
    kept = keras.ops.convert_to_numpy(dense(y))[(slice(None), *(slice((n + 1) % 2, None, 2) for n in space))]
    assert gap(strided(y), kept) < 1e-13
    assert strided(y).shape == strided.compute_output_shape(y.shape) == kept.shape
    assert strided.lipschitz_bound(y.shape) == dense.lipschitz_bound(y.shape)


def test_strides_come_before_the_pooling_of_averages_and_after_that_of_windows():
    assert layers.Connector(3, strides=2).compute_output_shape((None, 7, 9, 3)) == (None, 2, 2, 3)
    assert layers.BoundedConnector(3, strides=2).compute_output_shape((None, 7, 9, 3)) == (None, 2, 2, 3)
    assert layers.Connector(3, strides=4).compute_output_shape((None, 9, None, 3)) == (None, 1, None, 3)
    with pytest.raises(ValueError, match=r"nothing of an axis.*Received: input_shape=\(None, 4, 3\)"):
        layers.Connector(3, strides=4)(keras.Input((4, 3)))


@pytest.mark.parametrize("size", [1, 2, 3])
def test_bounded_connector_on_an_axis_of_unknown_size(rng, size):
    y = rng.normal(size=(2, size, 8, 4)).astype("float32")
    layer = layers.BoundedConnector(3)
    layer.build((None, None, 8, 4))
    unknown = tf.function(layer, input_signature=[tf.TensorSpec((None, None, 8, 4))])
    extended = np.concatenate([y, np.zeros((2, 2 - size, 8, 4))], axis=1) if size == 1 else y
    for out in (layer(y), unknown(y)):
        assert gap(out, layer(extended)) < 1e-6


@pytest.mark.parametrize("layer", [layers.BoundedConnector(3), layers.NormalizedDense(3)])
def test_weights_cannot_enlarge_a_provable_layer(rng, layer):
    y = rng.normal(size=(5, 4, 4, 4) if isinstance(layer, layers.BoundedConnector) else (5, 8)).astype("float32")
    layer.build(y.shape)
    for scale in (1e-4, 1.0, 1e4):
        layer.kernel.assign(scale * rng.normal(size=layer.kernel.shape))
        with tf.GradientTape() as tape:
            out = layer(y)
            loss = tf.reduce_sum(out**2)
        assert np.all(
            np.linalg.norm(np.reshape(out, (5, -1)), axis=1) <= np.linalg.norm(np.reshape(y, (5, -1)), axis=1)
        )
        # The output does not depend on the length of the kernel, so the gradient is perpendicular to it.
        gradient = tape.gradient(loss, layer.kernel)
        along = tf.reduce_sum(gradient * layer.kernel) / (tf.norm(gradient) * tf.norm(layer.kernel))
        assert abs(along) < 1e-3
    layer.kernel.assign(np.zeros(layer.kernel.shape))
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(layer(y) ** 2)
    assert loss == 0
    assert np.all(np.isfinite(tape.gradient(loss, layer.kernel)))


@pytest.mark.parametrize("kind", [layers.Connector, layers.BoundedConnector])
def test_a_configuration_of_the_version_before_says_with_provable_which_connector_it_is(rng, kind):
    y = rng.normal(size=(2, 5, 6, 3)).astype("float32")
    layer = kind(4, kernel_size=3, kernel_regularizer="l2", name="connector_1")
    expected = layer(y)
    config = keras.saving.serialize_keras_object(layer)
    # As the version before wrote it: one class with a flag, and no data format.
    inner = {key: value for key, value in config["config"].items() if key != "data_format"}
    inner |= {"momentum": 0.9, "synchronized": False, "provable": kind is layers.BoundedConnector}
    config |= {"module": "keras_pdecnn.layers.connector", "registered_name": "keras_pdecnn>Connector", "config": inner}
    keras.config.set_image_data_format("channels_first")
    loaded = keras.saving.deserialize_keras_object(json.loads(json.dumps(config)))
    assert type(loaded) is kind
    assert loaded.built
    assert loaded.get_config() == layer.get_config()
    loaded.set_weights(layer.get_weights())
    assert gap(loaded(y), expected) == 0


def test_weights_of_both_connectors_have_the_names_that_they_had_in_files(tmp_path):
    model = keras.Sequential([keras.Input((8, 8, 3)), layers.Connector(4), layers.BoundedConnector(2)])
    model.save_weights(tmp_path / "model.weights.h5")
    with h5py.File(tmp_path / "model.weights.h5") as file:
        assert set(file["layers"]) == {"connector", "connector_1"}


def test_connector_names_the_layer_that_provable_has_become():
    with pytest.raises(ValueError, match=r"layer BoundedConnector\. Received: provable=True"):
        layers.Connector(8, provable=True)


def test_normalized_dense_by_hand(float64, rng):
    y, layer = rng.normal(size=(6, 8)), layers.NormalizedDense(3, lipschitz=5.0, activation="softmax")
    layer.build(y.shape)
    layer.kernel.assign(rng.normal(size=(8, 3)))
    layer.bias.assign(rng.normal(size=3))
    matrix = np.asarray(layer.normalized_kernel())
    assert 4.8 < np.linalg.norm(matrix, 2) <= 5
    assert np.allclose(matrix / matrix[0, 0], layer.kernel.numpy() / layer.kernel.numpy()[0, 0])
    assert gap(layer(y), keras.ops.softmax(y @ matrix + layer.bias.numpy())) < 1e-14
    copy = layers.NormalizedDense.from_config(layer.get_config())
    assert copy.get_config() == layer.get_config()
    assert [(w.name, w.shape) for w in layer.weights] == [("kernel", (8, 3)), ("bias", (3,))]
    with pytest.raises(ValueError, match="Received: lipschitz=0"):
        layers.NormalizedDense(3, lipschitz=0)
    with pytest.raises(ValueError, match=r"Received: input_shape=\(None, 4, 4\)"):
        layers.NormalizedDense(3).build((None, 4, 4))
    with pytest.raises(ValueError, match=r"Received: input_shape=\(0, 0\)"):
        layers.NormalizedDense(3).build((0, 0))
    with pytest.raises(ValueError, match="Received: dtype='int8'"):
        layers.NormalizedDense(3, dtype="int8")


def test_connector_updates_its_statistics_in_training_only(rng):
    y, layer = rng.normal(loc=1.0, size=(8, 4, 4, 3)), layers.Connector(5)
    layer(y)
    np.testing.assert_array_equal(layer.normalization.moving_mean, np.zeros(5))
    layer(y, training=True)
    assert np.all(layer.normalization.moving_mean.numpy() != 0)


@pytest.mark.parametrize("layer", [layers.Connector, layers.RefiningConnector])
def test_frozen_connector_has_a_frozen_normalization(rng, layer):
    y, frozen = rng.normal(loc=1.0, size=(8, 4, 4, 3)), layer(5)
    frozen.trainable = False
    for connector in (layer(5, trainable=False), layer.from_config(frozen.get_config())):
        model = keras.Sequential([keras.Input((4, 4, 3)), connector])
        model(y, training=True)
        assert model.trainable_weights == []
        np.testing.assert_array_equal(connector.normalization.moving_mean, np.zeros(5))
        connector.trainable = True
        assert [weight.name for weight in model.trainable_weights] == ["kernel", "gamma", "beta"]


# Inverse and trajectory.


def run_as(function, how):
    return {
        "eager": function,
        "graph": tf.function(function),
        "xla": tf.function(function, jit_compile=True),
    }[how]


@every_way
def test_inverse_of_the_hamiltonian_block(float64, rng, randomize, how):
    y = rng.normal(size=(2, 5, 6, 4))
    layer = make(layers.HamiltonianBlock, y, randomize, steps=6)
    assert gap(run_as(lambda x: layer.inverse(layer(x)), how)(tf.constant(y)), y) < 1e-10


@every_way
def test_inverse_of_the_second_order_block(float64, rng, randomize, how):
    y = rng.normal(size=(2, 5, 6, 4))
    layer = make(layers.SecondOrderBlock, y, randomize, steps=6)
    assert gap(run_as(lambda x: layer.inverse(*layer.forward(x)), how)(tf.constant(y)), y) < 1e-10


@every_space
def test_inverse_in_every_dimension_with_periodic_padding(float64, rng, randomize, space):
    y = rng.normal(size=(2, *space, 4))
    layer = make(layers.HamiltonianBlock, y, randomize, padding="periodic", kernel_size=5)
    assert gap(layer.inverse(layer(y)), y) < 1e-10


def test_second_order_forward_gives_output_and_last_change(float64, rng, randomize):
    y = rng.normal(size=(2, 5, 6, 4))
    layer = make(layers.SecondOrderBlock, y, randomize)
    end, velocity = layer.forward(y)
    states = layer.trajectory(y)
    assert gap(end, layer(y)) < 1e-14
    assert gap(velocity, states[-1] - states[-2]) < 1e-13


@every_way
@pytest.mark.parametrize("method", ["inverse", "trajectory"])
def test_methods_outside_call_build_the_layer(rng, method, how):
    y = rng.normal(size=(2, 5, 6, 4))  # an array in float64 for a layer in float32
    layer = layers.HamiltonianBlock(2)
    out = run_as(getattr(layer, method), how)(y if how == "eager" else tf.constant(y))
    assert layer.built
    assert out.dtype == "float32"
    assert out.shape[-4:] == y.shape


def test_second_order_methods_build_the_layer(rng):
    y = rng.normal(size=(2, 5, 6, 4))
    end, velocity = layers.SecondOrderBlock(2).forward(y)
    assert end.shape == velocity.shape == y.shape
    assert layers.SecondOrderBlock(2).inverse(np.asarray(end), np.asarray(velocity)).shape == y.shape


@every_way
@every_block
def test_trajectory_starts_at_the_input_and_ends_at_the_output(float64, rng, randomize, block, how):
    y = rng.normal(size=(2, 5, 6, 4))
    layer = make(block, y, randomize)
    states = run_as(layer.trajectory, how)(tf.constant(y))
    assert states.shape == (4, *y.shape)
    assert gap(states[0], y) == 0
    assert gap(states[-1], layer(y)) < 1e-13


def test_the_graph_of_a_trajectory_does_not_grow_with_the_steps():
    sizes = {}
    for steps in (8, 64):
        layer = layers.HamiltonianBlock(steps, step_size=0.1)
        layer.build((None, None, 5, 4))
        traced = tf.function(layer.trajectory).get_concrete_function(tf.TensorSpec((None, None, 5, 4)))
        assert traced.structured_outputs.shape.as_list() == [steps + 1, None, None, 5, 4]
        functions = traced.graph.as_graph_def().library.function
        sizes[steps] = len(traced.graph.get_operations()) + sum(len(function.node_def) for function in functions)
    assert sizes[8] == sizes[64]


@pytest.mark.parametrize("how", ["eager", "graph", "xla"])
def test_a_trajectory_has_a_gradient(float64, rng, randomize, how):
    layer, y = layers.SecondOrderBlock(6, step_size=0.3), tf.constant(rng.normal(size=(2, 5, 4)))
    layer.build(y.shape)
    randomize(layer)

    def gradient(y):
        with tf.GradientTape() as tape:
            tape.watch(y)
            loss = tf.reduce_sum(layer.trajectory(y)[1:] ** 2)
        return tape.gradient(loss, [y, *(weight.value for weight in layer.weights)])

    def by_prefixes(y):
        total = [0.0] * (1 + len(layer.weights))
        for steps in range(1, 7):
            part = layers.SecondOrderBlock(steps, step_size=0.3, backprop="stored")
            part.build(y.shape)
            part.set_weights([weight[:steps] for weight in layer.get_weights()])
            with tf.GradientTape() as tape:
                tape.watch(y)
                loss = tf.reduce_sum(part(y) ** 2)
            of_y, *of_weights = tape.gradient(loss, [y, *(weight.value for weight in part.weights)])
            padded = [np.pad(w, [(0, 6 - steps), *[(0, 0)] * (w.ndim - 1)]) for w in map(np.asarray, of_weights)]
            total = [a + b for a, b in zip(total, [of_y, *padded], strict=True)]
        return total

    for found, expected in zip(run_as(gradient, how)(y), by_prefixes(y), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("block", [layers.ParabolicBlock, layers.HamiltonianBlock, layers.ResidualBlock])
def test_trajectory_is_a_sequence_of_blocks_of_one_step(float64, rng, randomize, block):
    y = rng.normal(size=(2, 5, 6, 4))
    layer, single = make(block, y, randomize), make(block, y, steps=1)
    states = layer.trajectory(y)
    for j in range(3):
        copy_weights(layer, single, **dict.fromkeys(("kernel", "scale", "bias"), slice(j, j + 1)))
        assert gap(single(states[j]), states[j + 1]) < 1e-14


def test_methods_outside_call_are_differentiable(float64, rng, randomize):
    y = tf.constant(rng.normal(size=(1, 3, 3, 2)))
    layer = make(layers.HamiltonianBlock, y, randomize)
    with tf.GradientTape() as tape:
        tape.watch(y)
        total = tf.reduce_sum(layer.inverse(layer(y)) * y) + tf.reduce_sum(layer.trajectory(y)[0])
    assert gap(tape.gradient(total, y), 2 * y + 1) < 1e-10


# Gradients.


@pytest.mark.parametrize("normalization", ["tv", None])
@every_mode_default_fast
def test_taylor_remainder_is_of_second_order(float64, rng, randomize, block, backprop, normalization):
    y = tf.constant(rng.normal(size=(2, 4, 3, 4)))
    layer = make(block, y, randomize, step_size=0.5, activation="tanh", normalization=normalization, backprop=backprop)
    variables = [weight.value for weight in layer.weights]

    def energy(y):
        return 0.5 * tf.reduce_sum(layer(y) ** 2)

    with tf.GradientTape() as tape:
        tape.watch(y)
        value = energy(y)
    points = [tf.identity(point) for point in (y, *variables)]
    for part, gradient in enumerate(tape.gradient(value, [y, *variables])):  # the input, then each weight
        direction = rng.normal(size=gradient.shape)
        direction /= np.linalg.norm(direction)
        remainders = []
        for size in 2e-3 / 2.0 ** np.arange(4):
            moved = [point + size * direction if i == part else point for i, point in enumerate(points)]
            for variable, at in zip(variables, moved[1:], strict=True):
                variable.assign(at)
            remainders.append(abs(energy(moved[0]) - value - size * np.sum(gradient * direction)))
        orders = np.log2(np.divide(remainders[:-1], remainders[1:]))
        assert np.all((orders > 1.9) & (orders < 2.1)), (part, orders)
        for variable, at in zip(variables, points[1:], strict=True):
            variable.assign(at)


@every_block
def test_frozen_block_passes_the_gradient_on(rng, block):
    y = tf.constant(rng.normal(size=(2, 4, 3, 4)), "float32")
    layer = make(block, y, trainable=False, kernel_regularizer="l2")
    with tf.GradientTape() as tape:
        tape.watch(y)
        total = tf.reduce_sum(tf.sin(layer(y)))
    assert layer.trainable_weights == layer.losses == []
    assert np.any(tape.gradient(total, y).numpy() != 0)


# Weights.


def expected_shapes(block, rank, steps, channels, filters, size):
    hamiltonian, residual = block is layers.HamiltonianBlock, block is layers.ResidualBlock
    width = channels // 2 if hamiltonian else channels
    filters = filters or width
    vectors = (steps, 2 if hamiltonian else 1, filters)
    return [
        ("kernel", (steps, 2 if hamiltonian or residual else 1, *(size,) * rank, width, filters)),
        ("scale", vectors),
        ("bias", vectors),
    ]


@pytest.mark.parametrize("filters", [None, 5])
@every_space
@every_block
def test_weights_have_the_documented_names_and_shapes(block, space, filters):
    layer = block(3, filters=filters, kernel_size=5)
    layer.build((None, *space, 6))
    expected = expected_shapes(block, len(space), 3, 6, filters, 5)
    assert [(w.name, w.shape) for w in layer.weights] == expected


@pytest.mark.parametrize(
    ("settings", "names"),
    [
        ({"normalization": None}, ["kernel", "bias"]),
        ({"use_bias": False}, ["kernel", "scale"]),
        ({"normalization": None, "use_bias": False}, ["kernel"]),
        ({"normalization": "scale"}, ["kernel", "scale", "bias"]),
        ({"normalization": "shrinkage"}, ["kernel", "bias"]),
    ],
)
@pytest.mark.parametrize("block", [*BLOCKS, layers.SymmetricConv])
def test_scale_and_bias_exist_where_asked_for(rng, block, settings, names):
    layer = block(**settings, **({} if block is layers.SymmetricConv else {"steps": 2}))
    out = layer(rng.normal(size=(2, 5, 6, 4)))
    assert [w.name for w in layer.weights] == names
    assert out.shape == (2, 5, 6, 4)


def test_symmetric_conv_weights():
    layer = layers.SymmetricConv(filters=7, kernel_size=(3, 5))
    layer.build((None, None, None, 4))
    assert [(w.name, w.shape) for w in layer.weights] == [("kernel", (3, 5, 4, 7)), ("scale", (7,)), ("bias", (7,))]


@pytest.mark.parametrize(
    "settings", [{"kernel_size": 3, "strides": 2}, {"trainable": False}, {"dtype": "float64"}], ids=str
)
def test_a_checkpointed_connector_has_the_same_gradients_and_statistics(rng, randomize, settings):
    y = tf.constant(rng.normal(size=(3, 8, 9, 4)), settings.get("dtype", "float32"))
    size = 4 // settings.get("strides", 1)
    w = tf.constant(rng.normal(size=(3, size, size, 6)), y.dtype)

    def results(backprop):
        layer = layers.Connector(6, backprop=backprop, **settings)
        layer.build(y.shape)
        layer.set_weights(weights) if weights else weights.extend(randomize(layer).get_weights())
        with tf.GradientTape() as outer:
            outer.watch(y)
            with tf.GradientTape() as inner:
                inner.watch(y)
                loss = tf.reduce_sum(tf.sin(layer(y, training=True)) * w)
            first = inner.gradient(loss, [y, *(weight.value for weight in layer.weights)])
            slope = tf.reduce_sum(first[0] ** 2)
        return loss, *(value for value in first if value is not None), outer.gradient(slope, y), *layer.get_weights()

    weights = []
    for found, expected in zip(results("checkpointed"), results("stored"), strict=True):
        assert gap(found, expected) <= 1e-5 * max(1, np.max(np.abs(expected)))


def test_connector_weights():
    layer = layers.Connector(7, kernel_size=3, name="connector")
    layer.build((None, 8, 4))
    normalization = [f"connector/normalization/{n}" for n in ("gamma", "beta", "moving_mean", "moving_variance")]
    assert [w.path for w in layer.weights] == ["connector/kernel", *normalization]
    assert layer.kernel.shape == (3, 4, 7)
    provable = layers.BoundedConnector(7, kernel_size=3)
    provable.build((None, 8, 4))
    assert [(w.name, w.shape) for w in provable.weights] == [("kernel", (3, 8, 7)), ("bias", (7,))]


def test_weights_start_constant_in_time_with_unit_scale_and_no_bias():
    layer = layers.HamiltonianBlock(4)
    layer.build((None, 8, 8, 6))
    kernel = layer.kernel.numpy()
    np.testing.assert_array_equal(kernel, np.broadcast_to(kernel[:1], kernel.shape))
    assert np.all(kernel[0, 0] != kernel[0, 1])
    np.testing.assert_array_equal(layer.scale, np.ones((4, 2, 3)))
    np.testing.assert_array_equal(layer.bias, np.zeros((4, 2, 3)))


# The channels first.

WITH_FORMATS = [
    (layers.Connector, {"filters": 5}),
    (layers.Connector, {"filters": 5, "kernel_size": 3, "strides": 2, "pool_size": 1}),
    (layers.BoundedConnector, {"filters": 5, "kernel_size": 3, "strides": 2}),
    (layers.Connector, {"filters": 5, "kernel_size": 3, "pool_size": 1}),
    (layers.BoundedConnector, {"filters": 5}),
    (layers.TVNormalization, {}),
]


@pytest.mark.parametrize("training", [False, True])
@every_space
@pytest.mark.parametrize(("layer", "settings"), WITH_FORMATS)
def test_channels_may_come_first(float64, rng, randomize, layer, settings, space, training):
    y = rng.normal(size=(2, *space, 3))
    moved = np.moveaxis(y, -1, 1)
    last, first = (layer(**settings, data_format=f"channels_{place}") for place in ("last", "first"))
    first.build(moved.shape)
    last.build(y.shape)
    last.set_weights(randomize(first).get_weights())
    keywords = {} if layer is layers.TVNormalization else {"training": training}
    assert gap(first(moved, **keywords), np.moveaxis(np.asarray(last(y, **keywords)), -1, 1)) < 1e-13
    assert first(moved).shape == first.compute_output_shape(moved.shape)
    assert first(keras.Input(moved.shape[1:])).shape[1:] == first(moved).shape[1:]
    if hasattr(first, "lipschitz_bound"):
        assert first.lipschitz_bound(moved.shape) == last.lipschitz_bound(y.shape)
    with pytest.raises(ValueError, match="incompatible"):
        first(np.moveaxis(y, -1, 1)[:, :2])


@pytest.mark.parametrize(("layer", "settings"), WITH_FORMATS)
def test_data_format_is_that_of_the_configuration_when_a_layer_is_made(rng, layer, settings):
    keras.config.set_image_data_format("channels_first")
    made = layer(**settings)
    keras.config.set_image_data_format("channels_last")
    assert made.data_format == made.get_config()["data_format"] == "channels_first"
    assert layer.from_config(made.get_config()).data_format == "channels_first"
    assert layer(**settings).data_format == "channels_last"
    made(rng.normal(size=(2, 3, 8, 6)))
    assert made.input_spec.axes == {1: 3}
    old = {key: value for key, value in made.get_config().items() if key != "data_format"}
    keras.config.set_image_data_format("channels_first")
    assert layer.from_config(old).data_format == "channels_last"
    with pytest.raises(ValueError, match="Received: data_format='channels'"):
        layer(**settings, data_format="channels")


# Shapes, types, configuration: what Keras expects.


LAYERS = [
    *((block, {"steps": 2, "step_size": 0.5}) for block in BLOCKS),
    (
        layers.HamiltonianBlock,
        {"steps": 1, "kernel_size": (3, 1), "filters": 3, "padding": "periodic", "stored_steps": 0},
    ),
    (layers.SecondOrderBlock, {"steps": 2, "activation": "tanh", "normalization": None, "backprop": "stored"}),
    (layers.ParabolicBlock, {"steps": 2, "kernel_constraint": constraints.Box(-1, 1), "use_bias": False}),
    (
        layers.ResidualBlock,
        {
            "steps": 2,
            "epsilon": 1e-2,
            "kernel_initializer": "orthogonal",
            "kernel_regularizer": regularizers.TimeSmoothness(1e-3, 1e-4, 0.5),
            "scale_regularizer": "l1",
            "bias_regularizer": "l2",
        },
    ),
    (layers.HamiltonianBlock, {"steps": 4, "time_basis": "linear", "basis_size": 2, "kernel_regularizer": "l2"}),
    (layers.SymmetricConv, {"filters": 5}),
    (layers.TVNormalization, {"epsilon": 1e-2, "use_bias": False, "scale_regularizer": "l2"}),
    (layers.Connector, {"filters": 5}),
    (layers.Connector, {"filters": 5, "kernel_size": 3, "pool_size": 3, "momentum": 0.5, "kernel_regularizer": "l2"}),
    (layers.BoundedConnector, {"filters": 5, "kernel_size": 3}),
    (layers.Standardization, {}),
]
every_layer = pytest.mark.parametrize(("layer", "settings"), LAYERS)


@every_layer
def test_config_gives_the_layer_back(rng, layer, settings):
    y = rng.normal(size=(2, 5, 6, 4)).astype("float32")
    original = layer(**settings, name="original")
    out = original(y)
    config = json.loads(json.dumps(keras.saving.serialize_keras_object(original)))
    copy = keras.saving.deserialize_keras_object(config)
    copy.set_weights(original.get_weights())
    assert copy.get_config() == original.get_config()
    assert gap(copy(y), out) == 0
    assert [w.path for w in copy.weights] == [w.path for w in original.weights]
    assert len(copy.losses) == len(original.losses)


@every_layer
def test_config_holds_every_argument(layer, settings):
    import inspect

    arguments = {
        name
        for cls in layer.__mro__[: layer.__mro__.index(keras.layers.Layer)]
        if "__init__" in vars(cls)
        for name, parameter in inspect.signature(cls.__init__).parameters.items()
        if parameter.kind is parameter.POSITIONAL_OR_KEYWORD and name != "self"
    }
    instance = layer(**settings)
    assert arguments <= set(instance.get_config())
    assert all(hasattr(instance, name) for name in arguments)


@pytest.mark.parametrize("policy", ["float32", "float64", "mixed_bfloat16", "mixed_float16"])
@every_layer
def test_symbolic_call_foretells_shape_and_type(rng, layer, settings, policy):
    y = rng.normal(size=(2, 5, 6, 4)).astype("float32")
    instance = layer(**settings, dtype=policy)
    symbolic = instance(keras.Input((5, 6, 4)))
    eager = instance(y)
    assert symbolic.shape == (None, *eager.shape[1:])
    assert instance.compute_output_shape(y.shape) == eager.shape
    assert symbolic.dtype == keras.backend.standardize_dtype(eager.dtype)


@every_layer
def test_spatial_size_may_be_unknown(rng, layer, settings):
    y = rng.normal(size=(2, 7, 6, 4)).astype("float32")
    instance = layer(**settings)
    symbolic = instance(keras.Input((None, None, 4)))
    assert symbolic.shape == (None, None, None, instance(y).shape[-1])
    unknown = tf.function(instance, input_signature=[tf.TensorSpec((None, None, None, 4))])
    assert gap(unknown(y), instance(y)) < 1e-6


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
@pytest.mark.parametrize("block", [*BLOCKS, layers.SymmetricConv])
def test_state_and_weights_are_float32_under_a_mixed_policy(rng, block, policy):
    y = rng.normal(size=(2, 5, 6, 4)).astype("float32")
    layer = block(dtype=policy, **({} if block is layers.SymmetricConv else {"steps": 3}))
    exact = block.from_config({**layer.get_config(), "dtype": "float32"})
    exact.build(y.shape)
    assert layer(keras.ops.cast(y, layer.compute_dtype)).dtype == "float32"
    assert {w.dtype for w in layer.weights} == {"float32"}
    exact.set_weights(layer.get_weights())
    assert 0 < gap(layer(y), exact(y)) < 0.1


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_only_the_right_hand_side_is_rounded_under_a_mixed_policy(rng, policy):
    y = rng.normal(size=(2, 5, 6, 4)).astype("float32")
    layer = layers.ParabolicBlock(3, dtype=policy, kernel_initializer="zeros")
    assert gap(layer(y), y) == 0


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_inverse_under_a_mixed_policy(rng, policy):
    y = rng.normal(size=(2, 5, 6, 4)).astype("float32")
    layer = layers.HamiltonianBlock(3, dtype=policy)
    assert gap(layer.inverse(layer(y)), y) < 1e-5
    assert layer.trajectory(y).dtype == "float32"


@every_block
def test_any_numeric_input_is_taken(rng, block):
    y = rng.integers(0, 5, size=(2, 5, 6, 4))
    layer = block(2)
    out = layer(y.astype("float32"))
    for dtype in ("uint8", "int32", "float16", "float64"):
        assert gap(layer(y.astype(dtype)), out) == 0
        assert gap(layer.trajectory(y.astype(dtype))[-1], out) < 1e-5


@pytest.mark.parametrize("shape", [(1, 1, 1, 2), (0, 3, 3, 2), (1, 1, 7, 2), (1, 2, 1, 2)])
@pytest.mark.parametrize("padding", ["same", "periodic"])
@every_block
def test_small_and_empty_inputs(block, shape, padding):
    layer = block(1, padding=padding)
    assert layer(np.ones(shape)).shape == shape
    assert layer.trajectory(np.ones(shape)).shape == (2, *shape)


@pytest.mark.parametrize("block", [layers.ParabolicBlock, layers.SecondOrderBlock, layers.ResidualBlock])
def test_one_channel(block):
    assert block(2)(np.ones((1, 4, 4, 1))).shape == (1, 4, 4, 1)


def test_activation_may_be_a_layer_but_has_no_weights():
    y = np.ones((1, 4, 4, 2))
    assert layers.HamiltonianBlock(2, activation=keras.layers.LeakyReLU(0.1))(y).shape == y.shape
    with pytest.raises(ValueError, match=r"without weights of its own\. Received: <PReLU"):
        layers.HamiltonianBlock(2, activation=keras.layers.PReLU())(y)


def test_one_block_takes_images_of_any_size(rng):
    layer = layers.HamiltonianBlock(2)
    shapes = [(1, 5, 6, 4), (3, 9, 2, 4)]
    assert [layer(np.ones(shape)).shape for shape in shapes] == shapes


def test_layers_in_a_sequential_model(rng):
    model = keras.Sequential([layers.ParabolicBlock(1), layers.TVNormalization(), layers.Connector(3)])
    assert model(rng.normal(size=(2, 4, 4, 2))).shape == (2, 2, 2, 3)


def test_a_new_scheme_is_an_integrator_and_a_class(float64, rng, randomize):
    damped = ops.Integrator(
        name="damped leapfrog",
        fields=1,
        updates=(
            ops.Update(target=1, source=1, factor=lambda h: -0.5 * h),
            *ops.leapfrog.updates,
        ),
        start=ops.leapfrog.start,
        finish=ops.leapfrog.finish,
    )

    class DampedBlock(layers.PDEBlock):
        integrator = damped

    y = rng.normal(size=(1, 4, 4, 2))
    layer, undamped = make(DampedBlock, y, randomize, steps=2), make(layers.SecondOrderBlock, y, steps=2)
    assert layer.backprop == "stored"
    copy_weights(layer, undamped)
    kick = undamped.trajectory(y)[1] - y
    assert gap(undamped(y) - layer(y), 0.5 * kick) < 1e-13


# Box constraint, regularisers and initializers as a layer uses them.


def test_kernel_constraint_holds_after_a_training_step(rng):
    layer = layers.ParabolicBlock(2, kernel_constraint=constraints.Box(-0.05, 0.05))
    model = keras.Sequential([keras.Input((4, 4, 2)), layer])
    model.compile("sgd", "mse")
    model.fit(rng.normal(size=(2, 4, 4, 2)), rng.normal(size=(2, 4, 4, 2)), verbose=0)
    assert np.max(np.abs(layer.kernel.numpy())) == np.float32(0.05)


def test_regularizers_of_every_weight_are_in_the_losses():
    layer = layers.HamiltonianBlock(2, kernel_regularizer="l2", scale_regularizer="l2", bias_regularizer="l1")
    layer.build((None, 4, 4, 4))
    assert len(layer.losses) == 3


def test_initializer_sees_no_time_axis():
    layer = layers.ParabolicBlock(2, kernel_initializer=initializers.ConstantInTime("ones"))
    assert layer.get_config()["kernel_initializer"]["class_name"] == "ConstantInTime"


# What is refused.


@pytest.mark.parametrize(
    "settings",
    [
        *({"kernel_size": value} for value in (2, 0, -3, 3.0, "3", True, (3, 4), (), (3, 3, 3, 3))),
        *({"steps": value} for value in (0, -1, 2.0, "2", None, True)),
        *({"stored_steps": value} for value in (-1, 1.0)),
        *({"step_size": value} for value in (0, -1.0, float("nan"), float("inf"), "1", None, "automatic")),
        *({"max_step_size": value} for value in (0, -1.0, float("inf"), "auto", None)),
        *({"filters": value} for value in (0, -1, 1.5)),
        *({"epsilon": value} for value in (0, -1e-3, float("nan"))),
        *({"activation": value} for value in ("unknown", 3)),
        *({"activation": value, "normalization": "shrinkage"} for value in ("tanh", "leaky_relu")),
        *({"activation": value, "step_size": "auto"} for value in ("gelu", "silu")),
        *({"normalization": value} for value in ("batch", "")),
        *({"padding": value} for value in ("valid", None)),
        *({"use_bias": value} for value in ("yes", None)),
        *({"backprop": value} for value in ("unknown", 1)),
        *({"kernel_initializer": value} for value in ("unknown", 3, None)),
        *({name: "unknown"} for name in ("kernel_regularizer", "scale_regularizer", "bias_regularizer")),
        {"kernel_constraint": "unknown"},
    ],
    ids=str,
)
def test_block_refuses(settings):
    with pytest.raises(ValueError, match=r"Received: .*" + next(iter(settings))):
        layers.HamiltonianBlock(**{"steps": 2, **settings})


def test_forward_euler_cannot_be_run_backwards():
    # Blocks take its coupled form instead; one that has no such form is refused in test_schemes.py.
    for block in (layers.ParabolicBlock, layers.ResidualBlock):
        assert not block.integrator.is_reversible
        assert block(2).backprop == "stored"
        assert block(2, backprop="reversible").integrator.name == "reversible forward Euler"


@pytest.mark.parametrize("shape", [(2, 4), (2,), (None, None, None), (2, 4, 4, None), (2, 3, 3, 3, 3, 4)])
@pytest.mark.parametrize(
    "layer", [layers.ParabolicBlock(2), layers.SymmetricConv(), layers.Connector(3), layers.BoundedConnector(3)]
)
def test_features_of_a_wrong_shape_are_refused(layer, shape):
    with pytest.raises(ValueError, match=r"one to three space axes.*Received: input_shape"):
        layer.build(shape)


def test_odd_width_is_refused_by_the_hamiltonian_block():
    with pytest.raises(ValueError, match=r"2 equal parts.*Received: input_shape=\(None, 4, 4, 3\)"):
        layers.HamiltonianBlock(2)(keras.Input((4, 4, 3)))


def test_kernel_size_must_fit_the_space_axes():
    with pytest.raises(ValueError, match=r"one per space axis \(1\).*Received: kernel_size=\(3, 3\)"):
        layers.ParabolicBlock(2, kernel_size=(3, 3)).build((None, 4, 2))


@pytest.mark.parametrize("shape", [(2, 5, 6, 2), (2, 5, 6, 8), (2, 5, 4), (5, 4)])
@pytest.mark.parametrize("method", ["inverse", "trajectory", "__call__"])
def test_built_block_refuses_other_features(method, shape):
    layer = layers.HamiltonianBlock(2)
    layer.build((None, 5, 6, 4))
    with pytest.raises(ValueError, match=r"[Rr]eceived|found"):
        getattr(layer, method)(np.ones(shape))


def test_features_and_velocity_must_have_one_shape():
    layer = layers.SecondOrderBlock(2)
    with pytest.raises(ValueError, match=r"one shape. Received: \(2, 4, 4, 2\) and \(1, 4, 4, 2\)"):
        layer.inverse(np.ones((2, 4, 4, 2)), np.ones((1, 4, 4, 2)))


@pytest.mark.parametrize(
    "settings",
    [
        {"filters": 0},
        {"filters": None},
        {"kernel_size": 2},
        {"pool_size": 0},
        {"pool_size": (2, 2)},
        {"strides": 0},
        {"strides": (2, 0)},
        {"strides": ()},
        {"momentum": 1.0},
        {"momentum": -0.1},
        {"synchronized": "yes"},
        {"backprop": "reversible"},
        {"kernel_initializer": "unknown"},
        {"kernel_initializer": None},
        {"kernel_regularizer": "unknown"},
    ],
    ids=str,
)
def test_connector_refuses(settings):
    with pytest.raises(ValueError, match=r"Received: " + next(iter(settings))):
        layers.Connector(**{"filters": 3, **settings})


def test_pooling_away_an_axis_is_refused():
    with pytest.raises(ValueError, match=r"nothing of an axis.*Received: input_shape=\(None, 8, 1, 3\)"):
        layers.Connector(3)(keras.Input((8, 1, 3)))


@pytest.mark.parametrize("size", [1, 2, 3])
def test_pooling_keeps_a_pixel_of_an_axis_of_unknown_size(rng, size):
    y = rng.normal(size=(2, size, 8, 4)).astype("float32")
    layer = layers.Connector(3)
    layer.build((None, None, 8, 4))
    unknown = tf.function(layer, input_signature=[tf.TensorSpec((None, None, 8, 4))])
    features = layers.Connector.from_config({**layer.get_config(), "pool_size": 1})
    features.build(y.shape)
    features.set_weights(layer.get_weights())
    average = np.mean(features(y)[:, :2], axis=1, keepdims=True).reshape(2, 1, 4, 2, 3).mean(axis=3)
    for out in (layer(y), unknown(y)):
        assert gap(out, average) < 1e-6


@pytest.mark.parametrize(
    "settings", [{"epsilon": 0.0}, {"use_scale": "yes"}, {"use_bias": 2}, {"bias_regularizer": "unknown"}], ids=str
)
def test_tv_normalization_refuses(settings):
    with pytest.raises(ValueError, match=r"Received: " + next(iter(settings))):
        layers.TVNormalization(**settings)


# Batch normalisation.


@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("shape", [(6, 7, 4), (6, 5, 3, 4), (2, 3, 4, 3, 4)])
def test_fused_batch_normalization_is_that_of_keras(rng, shape, relu):
    x, w = (tf.constant(rng.normal(3.0, 2.0, size=shape).astype("float32")) for _ in range(2))
    ours, theirs, one = BatchNormalization(momentum=0.7), keras.layers.BatchNormalization(momentum=0.7), tf.ones(4)

    def by_us(x, training):
        return ours.relu_after(tf.multiply, x, one, training=training) if relu else ours(x, training=training)

    def by_keras(x, training):
        return tf.nn.relu(theirs(x, training=training)) if relu else theirs(x, training=training)

    results = []
    for layer, apply in ((theirs, by_keras), (ours, by_us)):
        layer.build(shape)
        layer.gamma.assign([1.0, 2.0, 0.5, -1.0])
        layer.beta.assign([0.0, 1.0, -1.0, 2.0])
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = apply(x, training=True)
        gradient = tape.gradient(y, [x, layer.gamma.value, layer.beta.value], output_gradients=w)
        moving = layer.moving_mean, layer.moving_variance
        results.append([y, *gradient, *moving, apply(x, training=False)])
    for ours, theirs in zip(*results, strict=True):
        assert gap(ours, theirs) < 2e-5 * max(1.0, float(np.max(np.abs(theirs))))


@pytest.mark.parametrize("provable", [False, True])
def test_connector_takes_an_axis_without_entries_at_run_time(provable):
    inputs = keras.Input((None, 4, 3))
    model = keras.Model(inputs, (layers.BoundedConnector if provable else layers.Connector)(2)(inputs))
    length = int(provable)  # then the axis is continued by zeros
    y = np.zeros((2, 0, 4, 3), "float32")
    assert model(y).shape == (2, length, 2, 2)
    assert model.predict(y, verbose=0).shape == (2, length, 2, 2)
