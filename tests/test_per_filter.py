"""One step size per filter: the row sums of K K^T bound the norm, and the steps never move two inputs apart."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_pdecnn import layers, ops
from keras_pdecnn.ops.row_sums import largest_row_sum
from keras_pdecnn.stability import block_bounds, operator_norm, step_limit

SPACE = (5, 4)


def dense(kernel, space, padding):
    """Return the matrix of a convolution on an image of this size, with the filters on the last axis of its rows."""
    pixels, c = int(np.prod(space)), kernel.shape[-2]
    units = np.eye(pixels * c).reshape(-1, *space, c)
    image = ops.convolve(keras.ops.convert_to_tensor(units, "float64"), keras.ops.convert_to_tensor(kernel), padding)
    return np.asarray(image).reshape(pixels * c, -1).T


def block_of(rng, cls=layers.ParabolicBlock, steps=2, weights=None, **settings):
    settings = {"step_size": "per_filter", "normalization": None, "filters": 6, **settings}
    block = cls(steps, **settings)
    block.build((None, *SPACE, 4))
    for weight in block.weights:
        weight.assign(rng.normal(size=weight.shape) if weights is None else weights)
    return block


def growth(block, y, difference):
    distance = np.asarray(block(y + difference) - block(y))
    lengths = [np.linalg.norm(d.reshape(len(d), -1), axis=1) for d in (distance, difference)]
    return lengths[0] / lengths[1]


@pytest.mark.parametrize("padding", ["same", "periodic"])
@pytest.mark.parametrize("space", [(1,), (4,), (1, 1), (2, 2), (2, 5)], ids=str)
def test_row_sums_bound_the_matrix_of_the_convolution(float64, rng, padding, space):
    for scale in (1.0, 10.0 ** rng.uniform(-3, 3, size=5)):
        kernel = scale * rng.normal(size=(*[3] * len(space), 4, 5))
        sums = np.asarray(ops.row_sums(kernel))
        matrix = dense(kernel, space, padding)
        diagonal = np.tile(sums, int(np.prod(space)))
        scaled = matrix / np.sqrt(diagonal)[:, None]  # of norm at most 1
        assert np.linalg.norm(scaled, 2) <= 1 + 1e-12
        assert operator_norm(kernel, padding, "lower") ** 2 <= float(largest_row_sum(kernel, len(space)))


def test_row_sums_by_hand_and_of_several_kernels(float64, rng):
    kernel = rng.normal(size=(3, 2, 2))
    expected = np.zeros(2)
    for d in range(-2, 3):
        pairs = [(s, s + d) for s in range(3) if 0 <= s + d < 3]
        expected += np.abs(sum(kernel[s].T @ kernel[t] for s, t in pairs)).sum(axis=1)
    np.testing.assert_allclose(ops.row_sums(kernel), expected, rtol=1e-13)
    several = np.asarray(ops.row_sums(np.stack([kernel, 2 * kernel])[:, None], axes=1))
    np.testing.assert_allclose(several, [[expected], [4 * expected]], rtol=1e-13)


def test_a_step_is_the_one_with_a_diagonal_matrix(float64, rng):
    """One step is y - 2 K^T T^-1 relu(K y + T^(1/2) b), with dense matrices."""
    block = block_of(rng, steps=1)
    kernel, bias = (np.asarray(weight)[0, 0] for weight in (block.kernel, block.bias))
    sums = np.tile(np.asarray(ops.row_sums(kernel)) / (1 - 1e-5), 20)
    matrix, y = dense(kernel, SPACE, "same"), rng.normal(size=(3, *SPACE, 4))
    u = y.reshape(3, -1) @ matrix.T + np.sqrt(sums / 2) * np.tile(bias, 20)
    expected = y.reshape(3, -1) - 2 * (np.maximum(u, 0) / sums) @ matrix
    np.testing.assert_allclose(np.asarray(block(y)).reshape(3, -1), expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(("normalization", "activation"), [(None, "relu"), (None, "tanh"), ("shrinkage", "relu")])
@pytest.mark.parametrize("padding", ["same", "periodic"])
def test_no_two_inputs_move_apart(float64, rng, normalization, activation, padding):
    block = block_of(rng, normalization=normalization, activation=activation, padding=padding)
    assert block.current_step_size() == pytest.approx(1.0)
    assert block_bounds(block)[1] == 1.0
    assert float(step_limit(block).min()) >= 1.0
    scales = 10.0 ** rng.uniform(-3, 3, size=(2, 200, 1, 1, 1))
    y, difference = scales * rng.normal(size=(2, 200, *SPACE, 4))
    assert growth(block, y, difference).max() <= 1 + 1e-9
    # Gradient ascent over the pair finds nothing either.
    pair = tf.Variable(np.stack([y[:8], difference[:8]]))
    for _ in range(20):
        with tf.GradientTape() as tape:
            d = block(pair[0] + pair[1]) - block(pair[0])
            found = tf.norm(tf.reshape(d, (8, -1)), axis=1) / tf.norm(tf.reshape(pair[1], (8, -1)), axis=1)
        assert float(tf.reduce_max(found)) <= 1 + 1e-9
        pair.assign_add(0.1 * tf.math.l2_normalize(tape.gradient(found, pair), axis=[2, 3, 4]))


def test_larger_steps_would_move_inputs_apart(float64):
    """With orthogonal filters, the steps are reflections, and the limit is exact."""
    block = layers.ParabolicBlock(1, step_size="per_filter", kernel_size=1, activation="linear", normalization=None)
    block.build((None, *SPACE, 3))
    block.kernel.assign(np.diag([3.0, 1e-3, 50.0])[None, None, None, None])
    y = np.random.default_rng(0).normal(size=(2, *SPACE, 3))
    np.testing.assert_allclose(block(y), -y, rtol=3e-5)
    larger = layers.ParabolicBlock(1, 1.1, 1, activation="linear", normalization=None)
    larger.build((None, *SPACE, 3))
    larger.kernel.assign(block.theta()["kernel"])
    assert block_bounds(larger)[1] == pytest.approx(1.2, rel=1e-4)
    np.testing.assert_allclose(larger(y), -1.2 * y, rtol=1e-4)


def test_the_size_of_a_kernel_has_no_effect_and_filters_of_zeros_none(rng):
    block, y = block_of(rng), rng.normal(size=(2, *SPACE, 4)).astype("float32")
    block.bias.assign(0 * block.bias)
    before = block(y)
    block.kernel.assign(1e12 * block.kernel)
    np.testing.assert_allclose(block(y), before, rtol=1e-4, atol=1e-5)
    block.kernel.assign(np.asarray(block.kernel) * [1, 1, 0, 1, 1, 1])
    with tf.GradientTape() as tape:
        value = tf.reduce_sum(block(y) ** 2)
    assert np.all(np.isfinite(tape.gradient(value, block.kernel)))
    block.kernel.assign(0 * block.kernel)
    np.testing.assert_array_equal(block(y), y)


@pytest.mark.parametrize("backprop", ["stored", "checkpointed"])
def test_gradients_pass_through_the_step_sizes(float64, rng, backprop):
    block = block_of(rng, backprop=backprop, stored_steps=0)
    y, w = rng.normal(size=(2, 2, *SPACE, 4))
    direction, kernel = rng.normal(size=block.kernel.shape), np.asarray(block.kernel)

    def value(t):
        block.kernel.assign(kernel + t * direction)
        return float(tf.reduce_sum(w * block(y)))

    slope = (value(1e-5) - value(-1e-5)) / 2e-5
    block.kernel.assign(kernel)
    with tf.GradientTape() as tape:
        target = tf.reduce_sum(w * block(y))
    assert float(tf.reduce_sum(tape.gradient(target, block.kernel) * direction)) == pytest.approx(slope, rel=1e-5)


@pytest.mark.parametrize("cls", [layers.HamiltonianBlock, layers.SecondOrderBlock])
def test_hyperbolic_blocks_keep_their_bounds(float64, rng, cls):
    filters = None if cls is layers.HamiltonianBlock else 6
    block = block_of(rng, cls, steps=4, filters=filters, max_gain=cls.bounded_gain(4))
    assert block_bounds(block)[1] <= (1.0 if cls is layers.SecondOrderBlock else 1.1341)
    y, difference = rng.normal(size=(2, 100, *SPACE, 4))
    assert growth(block, y, difference).max() <= block_bounds(block)[1]


def test_more_steps_over_the_same_time(rng):
    block = block_of(rng, time_basis="linear", basis_size=2)
    finer = block.with_steps(8)
    assert finer.step_size == "per_filter"
    assert finer.current_step_size() == pytest.approx(0.25)


def test_the_block_is_restored(rng):
    block, y = block_of(rng), rng.normal(size=(2, *SPACE, 4)).astype("float32")
    plain = layers.ParabolicBlock(2, step_size="auto", normalization=None, filters=6)
    plain.build((None, *SPACE, 4))
    assert [(w.name, w.shape) for w in block.weights] == [(w.name, w.shape) for w in plain.weights]
    copy = layers.ParabolicBlock.from_config(block.get_config())
    copy.build((None, *SPACE, 4))
    copy.set_weights(block.get_weights())
    np.testing.assert_array_equal(copy(y), block(y))


def test_what_has_no_step_limit_is_refused():
    with pytest.raises(ValueError, match="Received: normalization='scale', step_size='per_filter'"):
        layers.ParabolicBlock(2, step_size="per_filter", normalization="scale")
    with pytest.raises(ValueError, match="Received: step_size='per_filter'"):
        layers.ResidualBlock(2, step_size="per_filter", normalization=None)
    with pytest.raises(ValueError, match="Received: step_size='per filter'"):
        layers.ParabolicBlock(2, step_size="per filter")
