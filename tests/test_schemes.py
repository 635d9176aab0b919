"""Other ways of taking a step: orders, stability, what is conserved or damped, and gradients of all modes."""

import dataclasses
import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf
from test_backprop import by_layer, by_plain_differentiation, error

from keras_pdecnn import layers, ops

A, B = 0.4 * np.random.default_rng(4).normal(size=(2, 4, 4))


def field(index, x, factor=1.0):
    """Return factor * F(x), pointwise functions between matrices."""
    return factor * (np.tanh(x @ (A, B)[index]) @ (A, B)[index].T) * -1.0


def final(integrator, steps, time=1.0):
    state = integrator.start(np.random.default_rng(6).normal(size=(3, 4 * integrator.parts)))
    for j in range(steps):
        state = integrator.step(field, time / steps, tuple(map(np.asarray, state)), j)
    return np.concatenate(state[: integrator.parts], axis=-1)


ORDERS = {
    "forward Euler": (ops.forward_euler, 1),
    "Heun": (ops.heun, 2),
    "RK4": (ops.rk4, 4),
    "Verlet": (ops.verlet, 1),
    "symmetric Verlet": (ops.symmetric_verlet, 2),
    "leapfrog": (ops.leapfrog, 1),
    "half-kick leapfrog": (ops.half_kick_leapfrog, 2),
    "damped leapfrog": (ops.damped_leapfrog(0.7), 1),
    "coupled Euler": (ops.reversible(ops.forward_euler, 0.9), 1),
    "coupled Heun": (ops.reversible(ops.heun, 0.9), 2),
    "coupled RK4": (ops.reversible(ops.rk4, 0.9), 4),
}


@pytest.mark.parametrize("name", ORDERS)
def test_order_of_convergence(name):
    integrator, order = ORDERS[name]
    # The two copies of coupled Euler steps first have to come together, by 0.9^N.
    first = 256 if name == "coupled Euler" else 32
    results = [final(integrator, first * 2**k) for k in range(3)]
    differences = [np.linalg.norm(a - b) for a, b in itertools.pairwise(results)]
    assert abs(np.log2(differences[0] / differences[1]) - order) < 0.15


def test_all_schemes_of_one_equation_have_one_limit():
    groups = [["forward Euler", "Heun", "RK4", "coupled Euler", "coupled Heun"], ["Verlet", "symmetric Verlet"]]
    for group in [*groups, ["leapfrog", "half-kick leapfrog"]]:
        results = [final(ORDERS[name][0], 4000) for name in group]
        assert max(np.max(np.abs(result - results[0])) for result in results) < 5e-3


# Stability: |R(h a)| <= 1 for y' = -a y up to h a = extent, and no further.


def growth(integrator, z, steps=400):
    """Return the growth per step of y' = -z y, h = 1, from a general state."""
    parts = len(integrator.start(np.ones((1, 1))))
    columns = [
        np.ravel(integrator.step(lambda i, x, f=1.0: -f * z * x, 1.0, tuple(e.reshape(parts, 1, 1)), 5))
        for e in np.eye(parts)
    ]
    return np.max(np.abs(np.linalg.eigvals(np.array(columns))))


@pytest.mark.parametrize(
    ("integrator", "extent"),
    [
        (ops.forward_euler, 2.0),
        (ops.heun, 2.0),
        (ops.rk4, 2.785),
        (ops.momentum(0.5), 6.0),
        (ops.reversible(ops.forward_euler, 0.9), 0.1),
        (ops.reversible(ops.forward_euler, 0.5), 0.5),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_stable_interval(integrator, extent):
    assert all(growth(integrator, z) <= 1 + 1e-9 for z in np.linspace(0, extent, 9))
    assert growth(integrator, 1.02 * extent) > 1
    if integrator.limit:
        assert integrator.limit(1.0, np.ones((1, 1)))[0] == pytest.approx(extent, rel=1e-3)


def test_accelerated_cycle_is_stable_and_goes_further():
    def cycle(steps, z):
        state = ops.accelerated.start(np.ones_like(z))
        for j in range(steps):
            state = ops.accelerated.step(lambda i, x, f=1.0: -f * z * x, 1.0, tuple(map(np.asarray, state)), j)
        return state[0]

    z = np.linspace(0, 2, 200)
    for steps in (1, 4, 12):
        assert np.max(np.abs(cycle(steps, z))) <= 1 + 1e-12
        slope = (1 - cycle(steps, np.array([1e-7]))[0]) / 1e-7
        assert slope == pytest.approx((steps**2 + steps) / 3, rel=1e-4)
        assert ops.accelerated.time(steps) == pytest.approx(slope, rel=1e-4)


def test_damping_takes_energy_from_waves_at_the_known_rate():
    gamma, a, steps, time = 0.4, 3.0, 4000, 10.0
    integrator = ops.damped_leapfrog(gamma)
    state = (np.ones((1, 1)), np.zeros((1, 1)))
    for j in range(steps):
        state = integrator.step(lambda i, x, f=1.0: -f * a * x, time / steps, state, j)
    w = np.sqrt(a - gamma**2 / 4)
    exact = np.exp(-gamma * time / 2) * (np.cos(w * time) + gamma / (2 * w) * np.sin(w * time))
    assert abs(state[0][0, 0] - exact) < 2e-3


def test_symmetric_verlet_is_its_own_inverse_with_the_opposite_step():
    state = tuple(np.random.default_rng(1).normal(size=(2, 3, 4)))
    there = ops.symmetric_verlet.step(field, 0.3, state)
    np.testing.assert_allclose(ops.symmetric_verlet.step(field, -0.3, there), state, rtol=1e-12, atol=1e-13)


# Semi-implicit steps.


@pytest.mark.parametrize("space", [(5,), (4, 6), (3, 4, 2)])
def test_semi_implicit_step_solves_its_equation(space, float64):
    rng = np.random.default_rng(2)
    y = tf.constant(rng.normal(size=(2, *space, 3)))
    block = layers.ParabolicBlock(
        1, 5.0, scheme="semi-implicit", padding="periodic", activation="linear", normalization=None, dtype="float64"
    )
    new = block(y)
    kernel = block.theta().at(0)["kernel"][0]
    diffused = ops.adjoint_convolve(ops.convolve(new, kernel, "periodic"), kernel, "periodic")
    np.testing.assert_allclose(new + 5.0 * diffused, y, atol=1e-12)
    assert np.linalg.norm(new) <= np.linalg.norm(y)
    with pytest.raises(ValueError, match=r"periodic.*Received: .*padding='same'"):
        layers.ParabolicBlock(1, scheme="semi-implicit")


# Gradients.

CASES = [
    ("ParabolicBlock", None, "reversible", True),
    ("ParabolicBlock", "heun", "stored", False),
    ("ParabolicBlock", "heun", "checkpointed", False),
    ("ParabolicBlock", "heun", "reversible", True),
    ("ParabolicBlock", "rk4", "stored", True),
    ("ParabolicBlock", "rk4", "reversible", False),
    ("ParabolicBlock", "accelerated", "checkpointed", False),
    ("ParabolicBlock", "accelerated", "reversible", True),
    ("ParabolicBlock", "semi-implicit", "checkpointed", False),
    ("ParabolicBlock", "semi-implicit", "reversible", True),
    ("ResidualBlock", None, "reversible", True),
    ("ResidualBlock", "heun", "reversible", False),
    ("HamiltonianBlock", "symmetric", "reversible", True),
    ("SecondOrderBlock", "half-kick", "reversible", True),
]


@pytest.mark.parametrize(
    ("block", "scheme", "backprop", "way"),
    [
        pytest.param(*case, way, marks=[] if quick and way == "eager" else pytest.mark.slow)
        for *case, quick in CASES
        for way in ("eager", "graph")
    ],
)
def test_gradients_of_all_modes(block, scheme, backprop, way, float64):
    padding = "periodic" if scheme == "semi-implicit" else "same"
    settings = {"activation": "tanh", "step_size": 0.3, "stored_steps": 0, "padding": padding, "dtype": "float64"}
    layer = getattr(layers, block)(5 if way == "graph" else 2, scheme=scheme, backprop=backprop, **settings)
    y, w = (tf.constant(np.random.default_rng(s).normal(size=(2, 4, 3, 4))) for s in (1, 2))
    layer.build(y.shape)
    rng = np.random.default_rng(7)
    for weight in layer.weights:
        weight.assign(0.4 * rng.normal(size=weight.shape))
    gradient = lambda y: by_layer(layer, y, w)  # noqa: E731
    found = tf.function(gradient)(y) if way == "graph" else gradient(y)
    assert error(found, by_plain_differentiation(layer, y, w)) < 1e-10


def test_coupled_block_is_another_map_and_can_be_undone(float64):
    y = np.random.default_rng(1).normal(size=(2, 4, 3, 4))
    keras.utils.set_random_seed(1)
    plain = layers.ParabolicBlock(3, 0.1, dtype="float64")
    expected = plain(y)
    block = layers.ParabolicBlock.from_config({**plain.get_config(), "backprop": "reversible"})
    block.build(y.shape)
    block.set_weights(plain.get_weights())
    difference = np.max(np.abs(block(y) - expected))
    assert 1e-4 < difference < 0.1
    state = block.integrator.start(tf.constant(y))
    theta, F = block.theta(), block.field
    for j in range(3):
        state = block.integrator.step(F.bind(theta.at(j)), 0.1, state, j)
    for j in reversed(range(3)):
        state = block.integrator.undo(F.bind(theta.at(j)), 0.1, state, j)
    np.testing.assert_allclose(state[0], y, atol=1e-13)
    assert type(block).from_config(block.get_config()).integrator.is_reversible


def test_what_cannot_be_coupled_is_refused():
    class Composed(layers.PDEBlock):
        integrator = dataclasses.replace(ops.forward_euler, updates=2 * ops.forward_euler.updates)

    with pytest.raises(ValueError, match=r"cannot be run backwards.*Received: backprop='reversible'"):
        Composed(2, backprop="reversible")
    for integrator in (ops.verlet, Composed.integrator):
        with pytest.raises(ValueError, match=r"single update.*Received: integrator="):
            ops.reversible(integrator)
    for coupling in (0, 1.5):
        with pytest.raises(ValueError, match=r"coupling.*Received: coupling="):
            ops.reversible(ops.forward_euler, coupling)
    with pytest.raises(ValueError, match=r"decay must be between 0 and 1. Received: decay=1"):
        ops.momentum(1)


# Sampling of theta.


def test_midpoint_sampling_keeps_the_order_of_weights_that_change(float64):
    def result(steps, scheme, sampling):
        layer = layers.HamiltonianBlock(
            steps,
            1 / steps,
            scheme=scheme,
            sampling=sampling,
            activation="tanh",
            normalization=None,
            time_basis="cosine",
            basis_size=2,
            dtype="float64",
        )
        y = np.random.default_rng(1).normal(size=(1, 3, 4))
        layer.build(y.shape)
        rng = np.random.default_rng(2)
        for weight in layer.weights:
            weight.assign(0.2 * rng.normal(size=weight.shape))
        return layer(y)

    for scheme, sampling, order in ((None, "left", 1), ("symmetric", "left", 1), ("symmetric", "midpoint", 2)):
        values = [np.asarray(result(8 * 2**k, scheme, sampling)) for k in range(3)]
        first, second = (np.linalg.norm(a - b) for a, b in itertools.pairwise(values))
        assert abs(np.log2(first / second) - order) < 0.2
