"""Orthogonal connectors: they keep lengths where widths allow, and certificates hold with them."""

import keras
import numpy as np
import pytest

from keras_pdecnn import layers, models
from keras_pdecnn.ops.orthogonal import orthogonal_kernel
from keras_pdecnn.stability import attack, certified_radius, layer_bounds, lipschitz_bound, operator_norm


@pytest.mark.parametrize("shape", [(1, 6, 4), (1, 1, 4, 7), (3, 3, 2, 5), (3, 2, 6), (1, 1, 1, 4, 3)], ids=str)
def test_all_singular_values_are_equal(float64, shape):
    kernel = keras.initializers.Orthogonal(seed=1)(shape) + 0.05 * keras.random.normal(shape, seed=2)
    kernel = np.asarray(kernel, "float64")
    pixels = int(np.prod(shape[:-2]))
    matrix = np.asarray(orthogonal_kernel(kernel)).reshape(-1, shape[-1])
    np.testing.assert_allclose(np.linalg.svd(matrix)[1], 1 / np.sqrt(pixels), rtol=1e-9)


@pytest.mark.parametrize("rank", [0, 1, 4])
def test_the_norm_is_at_most_1_for_every_matrix(rng, rank):
    factors = rng.normal(size=(8, rank)), rng.normal(size=(rank, 5))
    kernel = (factors[0] @ factors[1] * 10.0 ** rng.uniform(-3, 3)).astype("float32")[None]
    assert operator_norm(orthogonal_kernel(kernel)) <= 1 + 1e-5


def test_a_connector_that_widens_enough_keeps_distances(float64, rng):
    settings = {"pool_size": 2, "orthogonal": True, "kernel_initializer": "orthogonal"}
    layer = layers.BoundedConnector(16, activation="minmax", **settings)
    layer.build((None, 4, 4, 3))
    x, y = rng.normal(size=(2, 5, 4, 4, 3))
    np.testing.assert_allclose(np.linalg.norm(layer(x)), np.linalg.norm(x), rtol=1e-6)
    assert layer.lipschitz_bound((None, 4, 4, 3)) == pytest.approx(1.0, abs=1e-6)
    # Sorting pairs may bring two inputs closer, and never moves them apart.
    assert np.linalg.norm(layer(x) - layer(y)) <= np.linalg.norm(x - y) * (1 + 1e-9)
    linear = layers.BoundedConnector(16, activation=None, **settings)
    linear.build((None, 4, 4, 3))
    np.testing.assert_allclose(np.linalg.norm(linear(x) - linear(y)), np.linalg.norm(x - y), rtol=1e-6)


def test_minmax_sorts_pairs_and_needs_them():
    layer = layers.BoundedConnector(4, pool_size=1, activation="minmax")
    layer.build((None, 1, 4))
    layer.kernel.assign(np.eye(4, dtype="float32")[None])
    values = np.asarray(layer(np.array([[[1.0, -2.0, 3.0, -4.0]]], "float32")))[0, 0]
    np.testing.assert_allclose(values, [3.0, -2.0, 1.0, -4.0], rtol=1e-4)
    with pytest.raises(ValueError, match="Received: filters=3, activation='minmax'"):
        layers.BoundedConnector(3, activation="minmax")


def test_each_unit_has_the_constant_by_itself(float64, rng):
    layer = layers.NormalizedDense(3, lipschitz=2.0, per_unit=True)
    layer.build((None, 5))
    layer.kernel.assign(rng.normal(size=(5, 3)))
    np.testing.assert_allclose(np.linalg.norm(layer.normalized_kernel(), axis=0), 2.0)
    assert layer.logits_bound() <= 2 * np.sqrt(3)
    layer.kernel.assign(np.zeros((5, 3)))
    assert np.all(np.isfinite(layer(np.ones((1, 5)))))
    assert layers.NormalizedDense.from_config(layer.get_config()).per_unit


@pytest.fixture(scope="module")
def network():
    keras.utils.set_random_seed(0)
    model = models.ParabolicCNN(
        (6, 6, 1),
        classes=3,
        widths=(4, 6),
        steps=1,
        provable=True,
        step_size="per_filter",
        orthogonal=True,
        lipschitz=1,
    )
    for weight in model.weights:
        if weight.name == "bias":
            weight.assign(keras.random.normal(weight.shape, stddev=0.1, seed=3))
    return model


def test_every_layer_has_a_bound_near_1(network):
    bounds = {bound.layer: bound.upper for bound in layer_bounds(network)}
    assert all(bound <= 1 + 1e-5 for name, bound in bounds.items() if name != "classifier")
    assert lipschitz_bound(network) <= np.sqrt(3) * (1 + 1e-5)
    assert [layer.activation for layer in network.layers if isinstance(layer, layers.BoundedConnector)] == [None] * 3


def test_jacobians_and_attacks_stay_below_the_bound(network, rng):
    x = (rng.uniform(size=(8, 6, 6, 1)) * 255).astype("float32")
    radius = certified_radius(network, x)
    before = np.argmax(network(x, training=False), axis=-1)
    assert np.all(radius > 0)
    attacked = attack(network, x, before, 0.999 * radius, steps=5, bounds=(-1e6, 1e6))
    assert np.array_equal(np.argmax(network(attacked, training=False), axis=-1), before)
    # Along the line to another example, the class changes nowhere inside the ball.
    other = np.roll(x, 1, axis=0)
    for part in (0.3, 0.999):
        length = np.linalg.norm((other - x).reshape(8, -1), axis=1)
        moved = x + (part * radius / length)[:, None, None, None] * (other - x)
        assert np.array_equal(np.argmax(network(moved, training=False), axis=-1), before)


def test_networks_that_are_not_provable_have_none():
    with pytest.raises(ValueError, match="Received: orthogonal=True, provable=False"):
        models.ParabolicCNN((8, 8, 1), classes=2, widths=(4,), orthogonal=True)
