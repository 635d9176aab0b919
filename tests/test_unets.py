"""The networks with outputs for every pixel."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_pdecnn import layers, models, stability
from keras_pdecnn.layers.graph import Graph
from keras_pdecnn.ops.pooling import average_pool, space_to_depth
from keras_pdecnn.ops.refining import depth_to_space, repeat_pixels

every_network = pytest.mark.parametrize("network", models.UNETS)
SPACES = [(9,), (6, 7), (3, 4, 5)]  # none of them can be halved twice


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


@pytest.mark.parametrize("space", SPACES, ids=lambda s: f"{len(s)}D")
@every_network
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
