"""`step_size="auto"`: what it is, that it follows the weights, and that nothing else changes."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_pdecnn import layers, models
from keras_pdecnn.ops import norm_bound
from keras_pdecnn.stability import block_bounds, step_limit

SHAPE = (2, 6, 5, 4)
BLOCKS = [layers.ParabolicBlock, layers.HamiltonianBlock, layers.SecondOrderBlock]
every_block = pytest.mark.parametrize("block", BLOCKS)


def make(block, randomize, **settings):
    layer = block(3, **{"step_size": "auto", "normalization": None, "max_step_size": 10.0, **settings})
    layer.build(SHAPE)
    return randomize(layer)


@every_block
def test_it_is_nine_tenths_of_the_least_limit(float64, randomize, block):
    layer = make(block, randomize)
    norms = norm_bound(layer.kernel, axes=2).numpy()
    limits = {
        layers.ParabolicBlock: 2 / norms[:, 0] ** 2,
        layers.HamiltonianBlock: 2 / (norms[:, 0] * norms[:, -1]),
        layers.SecondOrderBlock: 2 / norms[:, 0],
    }[block]
    h = float(layer.current_step_size())
    assert h == pytest.approx(0.9 * limits.min(), rel=1e-12)
    # The tighter bounds of the norms allow for a somewhat larger step.
    assert 0.7 * step_limit(layer).min() < h <= 0.9 * step_limit(layer).min()


def test_a_scale_counts_as_a_part_of_the_kernel(float64, randomize):
    layer = make(layers.ParabolicBlock, randomize, normalization="scale")
    scale = layer.scale.numpy()
    scale[:, :, 0] = [[0.0], [-1.0], [4.0]]
    layer.scale.assign(scale)
    kernel = layer.kernel * np.sqrt(np.maximum(scale, 0))[:, :, None, None, None, :]
    expected = 0.9 * 2 / norm_bound(kernel, axes=2).numpy().max() ** 2
    assert float(layer.current_step_size()) == pytest.approx(expected, rel=1e-9)


def test_it_has_an_upper_bound_and_none_but_that_without_a_kernel(randomize):
    layer = make(layers.ParabolicBlock, randomize, max_step_size=0.01)
    assert float(layer.current_step_size()) == pytest.approx(0.01)
    layer = make(layers.ParabolicBlock, randomize)
    layer.kernel.assign(0 * layer.kernel)
    assert float(layer.current_step_size()) == 10.0
    y = keras.random.normal(SHAPE)
    np.testing.assert_array_equal(layer(y), y)


@every_block
def test_it_follows_the_weights(rng, randomize, block):
    layer, y = make(block, randomize), rng.normal(size=SHAPE).astype("float32")
    call = tf.function(layer)
    power = 1 if block is layers.SecondOrderBlock else 2
    for _ in range(2):
        h = float(layer.current_step_size())
        fixed = block.from_config({**layer.get_config(), "step_size": h})
        fixed.build(SHAPE)
        fixed.set_weights(layer.get_weights())
        np.testing.assert_allclose(layer(y), fixed(y), rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(call(y), fixed(y), rtol=1e-5, atol=1e-5)
        layer.kernel.assign(2 * layer.kernel)
        assert float(layer.current_step_size()) == pytest.approx(h / 2**power, rel=1e-5)


@every_block
def test_trajectory_and_inverse_take_the_same_steps(float64, rng, randomize, block):
    layer, y = make(block, randomize), rng.normal(size=SHAPE)
    out = layer(y)
    np.testing.assert_allclose(layer.trajectory(y)[-1], out, rtol=1e-12)
    if block is layers.HamiltonianBlock:
        np.testing.assert_allclose(tf.function(layer.inverse)(out), y, atol=1e-12)
    if block is layers.SecondOrderBlock:
        np.testing.assert_allclose(layer.inverse(*layer.forward(y)), y, atol=1e-12)


def test_what_has_no_limit_is_refused():
    with pytest.raises(ValueError, match=r"No step size makes a ResidualBlock stable.*Received: step_size='auto'"):
        layers.ResidualBlock(2, step_size="auto")
    with pytest.raises(ValueError, match=r"non-decreasing.*Received: activation=silu"):
        layers.ParabolicBlock(2, step_size="auto", activation="swish")


@pytest.fixture
def model(randomize):
    network = models.ParabolicCNN(
        (8, 8, 1),
        classes=3,
        widths=(4, 6),
        steps=2,
        step_size=("auto", 0.25),
        max_step_size=(2.0, 1.0),
        time_smoothness=1e-3,
        normalization="shrinkage",
    )
    return randomize(network)


@pytest.fixture
def images(rng):
    return rng.uniform(0, 255, size=(4, 8, 8, 1)).astype("float32")


def test_builders_have_it_per_block_and_regularize_with_its_bound(model):
    assert [(block.step_size, block.max_step_size) for block in model.blocks] == [("auto", 2.0), (0.25, 1.0)]
    assert [block.kernel_regularizer.step_size for block in model.blocks] == [2.0, 0.25]


def test_save_load_and_clone(tmp_path, model, images):
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(images), model(images))
    clone = keras.models.clone_model(model)
    clone.set_weights(model.get_weights())
    np.testing.assert_array_equal(clone(images), model(images))


def operations(function) -> set[str]:
    graph = function.graph.as_graph_def()
    return {node.op for nodes in (graph.node, *(f.node_def for f in graph.library.function)) for node in nodes}


def test_it_is_a_constant_in_what_is_exported(tmp_path, model, images):
    before = model(images)
    model.export(tmp_path / "model", verbose=False)
    exported = tf.saved_model.load(tmp_path / "model")
    np.testing.assert_allclose(exported.serve(images), before, rtol=1e-4, atol=1e-6)
    serving = exported.signatures["serving_default"]
    # The products of small matrices are what bounding a norm takes.
    assert "BatchMatMulV2" not in operations(serving)
    traced = tf.function(model).get_concrete_function(tf.TensorSpec((None, 8, 8, 1)))
    assert "BatchMatMulV2" in operations(traced)
    model.blocks[0].kernel.assign(10 * model.blocks[0].kernel)
    assert float(model.blocks[0].current_step_size()) < 2.0
    assert not np.allclose(model(images), before, rtol=1e-4)


def test_a_scale_stays_non_negative_and_comes_back(rng, randomize):
    layer, y = make(layers.ParabolicBlock, randomize, normalization="scale", activation="tanh"), rng.normal(size=SHAPE)
    keras.optimizers.SGD(1.0).apply([5 * tf.ones_like(layer.scale)], [layer.scale])
    np.testing.assert_array_equal(layer.scale, 0 * layer.scale)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(layer(y) ** 2)
    assert np.all(tape.gradient(loss, layer.scale.value) != 0)


@pytest.mark.parametrize("block_class", [layers.ParabolicBlock, layers.HamiltonianBlock, layers.SecondOrderBlock])
@pytest.mark.parametrize("max_gain", [None, 1 / 36])
def test_another_number_of_steps_keeps_the_final_time(block_class, max_gain, rng):
    settings = {"time_basis": "linear", "basis_size": 3, "normalization": None, "max_gain": max_gain}
    block = block_class(6, step_size="auto", **settings)
    block.build((None, 8, 8, 4))
    block.kernel.assign(rng.normal(size=block.kernel.shape))
    time = 6 * float(block.current_step_size())
    assert time < 6  # it is a limit that decides
    fine = block.with_steps(18)
    fine.build((None, 8, 8, 4))
    fine.set_weights(block.get_weights())
    np.testing.assert_allclose(18 * float(fine.current_step_size()), time, rtol=1e-5)
    # Bounds of the gain keep the Lipschitz bound small, also if the weights grow in training.
    for _ in range(2 if max_gain else 0):
        assert block_bounds(fine)[1] < 1.1 * block_bounds(block)[1] ** 1.5
        for each in (block, fine):
            each.kernel.assign(3 * np.asarray(each.kernel))
