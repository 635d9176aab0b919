"""The networks with outputs for every pixel."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_pdecnn import explain, layers, models, stability
from keras_pdecnn.layers.graph import Graph
from keras_pdecnn.ops.pooling import average_pool, space_to_depth
from keras_pdecnn.ops.refining import depth_to_space, repeat_pixels


def small(network="hamiltonian", input_shape=(8, 8, 3), **settings):
    settings = {"widths": (4, 6), "steps": 2, **({} if "restoration" in settings else {"outputs": 2}), **settings}
    return models.UNETS[network](input_shape, **settings)


def gap(a, b):
    return np.max(np.abs(keras.ops.convert_to_numpy(a) - keras.ops.convert_to_numpy(b)))


# Refining


@pytest.mark.parametrize("space", [(3,), (3, 2), (2, 3, 1)], ids=lambda s: f"{len(s)}D")
def test_refining_undoes_coarsening(float64, rng, space):
    y = rng.normal(size=(2, *space, 16))
    assert gap(average_pool(repeat_pixels(y, 2), 2), y) < 1e-15
    assert gap(space_to_depth(depth_to_space(y, 2), 2), y) == 0
    fine = rng.normal(size=(2, *(2 * n for n in space), 16))  # <P x, y> = 2^rank <x, A y>
    assert np.sum(repeat_pixels(y, 2) * fine) == pytest.approx(2 ** len(space) * np.sum(y * average_pool(fine, 2)))


@pytest.mark.parametrize("kind", [layers.RefiningConnector, layers.BoundedRefiningConnector])
def test_refining_connectors(rng, randomize, kind):
    layer = kind(4, kernel_size=3, factor=2)
    layer.build((None, None, 5, 3))
    randomize(layer)
    y, disturbed = (rng.normal(size=(2, 3, 5, 3)).astype("float32") for _ in range(2))
    assert layer(y).shape == (2, 6, 10, 4)
    assert layer.compute_output_shape((None, None, 5, 3)) == (None, None, 10, 4)
    distance = np.linalg.norm(layer(y) - layer(disturbed)) / np.linalg.norm(y - disturbed)
    bound = layer.lipschitz_bound((None, 3, 5, 3))
    assert distance <= bound
    assert kind is layers.RefiningConnector or bound <= 1 + 1e-6
    copy = kind.from_config(layer.get_config())
    assert copy.get_config() == layer.get_config()
    with pytest.raises(ValueError, match="Received: factor=0"):
        kind(4, factor=0)


# The networks


def test_layers_in_order():
    names = ["input", "standardization", "opening", "block_1", "connector_1", "block_2", "connector_2", "skip_1"]
    assert [layer.name for layer in small().layers] == [*names, "block_3", "head"]
    names = [layer.name for layer in small(input_shape=(7, 8, 3), restoration=True, skip="concatenate").layers]
    assert names[:3] == ["input", "padding", "opening"]
    assert names[-6:] == ["skip_1", "mixing_1", "block_3", "cropping", "head", "correction"]


CASES = [*((network, (6, 7)) for network in models.UNETS), ("hamiltonian", (9,)), ("second_order", (3, 4, 5))]


@pytest.mark.parametrize(("network", "space"), CASES)  # no size can be halved twice
def test_gradients_of_every_mode_at_any_size(float64, eager, rng, randomize, network, space):
    """The image is padded: every weight's gradient is that of plain automatic differentiation."""
    reversible = models.NETWORKS[network].is_reversible
    x, gradients, outputs = rng.normal(size=(2, *space, 2)), [], []
    model = small(network, (*space, 2), widths=(2, 4, 2), steps=3, step_size=0.3, restoration=True, activation="tanh")
    weights = [weight.numpy() for weight in randomize(model).weights]
    for mode in ("stored", "checkpointed", *(["reversible"] if reversible else [])):
        for block in model.blocks:
            block.backprop, block.stored_steps = mode, 0
        model = type(model).from_config(model.get_config())
        model.set_weights(weights)
        with tf.GradientTape() as tape:
            y = model(x)
            loss = tf.reduce_sum(y**2)
        outputs.append(y)
        gradients.append(tape.gradient(loss, model.trainable_weights))
    assert outputs[0].shape == x.shape
    for other in gradients[1:]:
        for a, b in zip(gradients[0], other, strict=True):
            assert gap(a, b) <= 1e-10 * max(1, np.max(np.abs(a)))


def test_restoration_starts_as_the_identity(rng):
    x = rng.uniform(size=(2, 5, 7, 3)).astype("float32")
    assert gap(small("residual", (None, None, 3), restoration=True)(x), x) == 0


def test_channels_first(float64, rng, randomize):
    first = randomize(small(input_shape=(3, 5, 6), data_format="channels_first", skip="concatenate"))
    last = small(input_shape=(5, 6, 3), skip="concatenate")
    last.set_weights(first.get_weights())
    x = rng.normal(size=(2, 3, 5, 6))
    assert gap(np.moveaxis(first(x), 1, -1), last(np.moveaxis(x, 1, -1))) < 1e-12


def test_save_and_load(tmp_path, rng, randomize):
    model, x = randomize(small(input_shape=(None, None, 3))), rng.normal(size=(2, 5, 6, 3)).astype("float32")
    model.save(tmp_path / "unet.keras")
    loaded = models.load_model(tmp_path / "unet.keras")
    assert type(loaded) is models.PDEModel
    assert gap(loaded(x), model(x)) == 0
    again = small(input_shape=(None, None, 3), weights=tmp_path / "unet.keras")
    assert gap(again(x), model(x)) == 0


def test_training_lowers_the_loss(eager, rng):
    x = rng.uniform(size=(4, 6, 6, 1)).astype("float32")
    model = small("second_order", (6, 6, 1), restoration=True)
    model.compile(keras.optimizers.Adam(0.01), "mean_squared_error")
    losses = model.fit(x, 0 * x, epochs=4, verbose=0).history["loss"]
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("restoration", [False, True])
def test_a_provable_network_moves_no_two_images_apart(rng, randomize, restoration):
    kind = {"restoration": True} if restoration else {"outputs": 3}
    model = randomize(small("parabolic", (6, 7, 3), provable=True, **kind), scale=1.0)
    bound = stability.lipschitz_bound(model)
    assert bound <= 1 + 1e-5
    x = rng.normal(size=(1, 6, 7, 3)).astype("float32")
    for size in (1e-2, 1.0):
        step = (size * rng.normal(size=x.shape)).astype("float32")
        d = np.linalg.norm(model(x + step) - model(x))
        assert d <= bound * np.linalg.norm(step) * (1 + 1e-5)
        if restoration:  # firmly: |Df|^2 <= <Df, Dx>
            moved = np.asarray(model(x + step) - model(x), "float64")
            assert np.sum(moved**2) <= np.sum(moved * step) * (1 + 1e-4) + 1e-9


WRONG = [
    ({"outputs": None}, "outputs must be an integer.* Received: outputs=None"),
    ({"outputs": 2, "restoration": True}, "3 channels of its input. Received: restoration=True, outputs=2"),
    ({"restoration": True, "include_preprocessing": True}, "Received: restoration=True, include_preprocessing=True"),
    ({"restoration": True, "output_activation": "relu"}, "Received: output_activation='relu'"),
    ({"outputs": 2, "skip": "multiply"}, "skip must be one of 'add', 'concatenate'. Received: skip='multiply'"),
    ({"outputs": 2, "provable": True, "skip": "concatenate"}, "Received: provable=True, skip='concatenate'"),
    ({"outputs": 2, "provable": True, "scheme": "rk4"}, "Received: provable=True, scheme='rk4'"),
    ({"outputs": 2, "stps": 3}, "ParabolicUNet has no argument 'stps': did you mean 'steps'"),
    ({"outputs": 2, "steps": (1, 2, 3)}, r"one per width \(2\). Received: steps=\(1, 2, 3\)"),
    ({"outputs": 2, "weights": "cifar10"}, "trained weights of a ParabolicUNet, of which there are: none"),
]


@pytest.mark.parametrize(("settings", "message"), WRONG)
def test_wrong_arguments(settings, message):
    with pytest.raises(ValueError, match=message):
        models.ParabolicUNet((8, 8, 3), **{"widths": (4, 6), **settings})


# Nested models, and blocks that are called twice


def test_calls_of_a_nested_model():
    inner = small("parabolic", (8, 8, 3), outputs=3)
    inputs = keras.Input((8, 8, 3))
    once = inner(inputs)
    outer = keras.Model(inputs, keras.layers.Add()([once, inner(once)]) * 2.0)
    names = [call.name for call in Graph(outer).blocks]
    first = [f"parabolic_unet/block_{i}" for i in (1, 2, 3)]
    assert names == [*first, *(f"parabolic_unet (call 2)/block_{i}" for i in (1, 2, 3))]
    x = np.random.default_rng(0).normal(size=(2, 8, 8, 3)).astype("float32")
    rows = stability.report(outer, x, cheap=True)
    alone = stability.report(inner, np.asarray(inner(x)), cheap=True)
    assert [row.block for row in rows] == [name for name in names for _ in range(2)]
    assert [row.energy for row in rows[6:]] == pytest.approx([row.energy for row in alone], rel=1e-5)
    sequence = keras.Sequential([keras.Input((8, 8, 3)), inner, inner])
    assert len(stability.report(sequence, x, cheap=True)) == 12


def test_lipschitz_bound_counts_calls_and_joins_branches():
    inputs = keras.Input((4, 4, 3))
    triples = keras.layers.Dense(3, kernel_initializer=keras.initializers.Identity(3), name="triples")
    inner = keras.Sequential([keras.Input((4, 4, 3)), triples], name="inner")
    fourfold = keras.layers.Conv2D(3, 1, kernel_initializer=lambda shape, dtype: 4 * np.eye(3).reshape(shape))
    branches = [inner(inner(inputs)), fourfold(inputs)]
    for join, bound in (("Add", 13), ("Average", 6.5), ("Concatenate", 97**0.5)):
        model = keras.Model(inputs, getattr(keras.layers, join)()(branches))
        assert stability.lipschitz_bound(model) == pytest.approx(bound, rel=1e-6)
    names = [bound.layer for bound in stability.layer_bounds(model)]
    assert names[:2] == ["inner/triples", "inner (call 2)/triples"]
    # Keras would repeat the single pixel, which has a norm.
    one_pixel = keras.layers.AveragePooling2D(4)(inputs)
    model = keras.Model(inputs, keras.layers.Add(name="sum")([inputs, one_pixel]))
    assert "same known shape" in next(b.reason for b in stability.layer_bounds(model) if b.layer == "sum")


def test_tools_of_the_networks(eager, rng):
    model, x = small(time_basis="linear", basis_size=2), rng.normal(size=(2, 8, 8, 3)).astype("float32")
    dynamics = explain.follow(model, x)
    assert [block.name for block in dynamics] == ["block_1", "block_2", "block_3"]
    assert [block.trajectory.shape[1:] for block in dynamics] == [(2, 8, 8, 4), (2, 4, 4, 6), (2, 8, 8, 4)]
    assert [block.steps for block in model.with_steps(4).blocks] == [4, 4, 4]
    assert stability.lipschitz_bound(model) is not None
    with pytest.raises(ValueError, match="ends with an average and a dense layer"):
        explain.page(model, x, ("a", "b"))
    with pytest.raises(ValueError, match="certified radii are known for chains"):
        stability.certified_radius(model, x)
