"""Nonlinear energies: gradients, what parabolic steps let fall, and what hyperbolic steps nearly conserve."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_pdecnn import layers, ops, stability
from keras_pdecnn.stability.potentials import ANTIDERIVATIVES

SPACE = (2, 2)


@pytest.fixture(autouse=True)
def exact(float64):
    """Compute in float64."""


def constant(rng, cls, steps, h, activation, channels=4, size=1.0):
    """Return a block whose kernels and biases are constant in time, with ||K|| about `size`."""
    settings = {"normalization": None, "activation": activation, "time_basis": "constant", "basis_size": 1}
    block = cls(steps, h, **settings)
    block.build((None, *SPACE, channels))
    kernel = rng.normal(size=block.kernel.shape)
    kernel /= np.max(stability.operator_norm(kernel))
    block.kernel.assign(size * kernel)
    block.bias.assign(0.3 * rng.normal(size=block.bias.shape))
    return block


def fields(block):
    theta = block.theta()
    return [(theta["kernel"][0, i], theta["bias"][0, i]) for i in range(block.kernel.shape[1])]


@pytest.mark.parametrize("activation", list(ANTIDERIVATIVES), ids=lambda function: function.__name__)
def test_the_gradient_of_the_potential_is_minus_the_layer(rng, activation):
    y, kernel, bias = rng.normal(size=(2, *SPACE, 3)), rng.normal(size=(3, 3, 3, 4)), rng.normal(size=4)
    y = tf.constant(y)
    with tf.GradientTape() as tape:
        tape.watch(y)
        value = stability.potential(y, kernel, bias, activation)
    expected = ops.symmetric_layer(
        y, tf.constant(kernel), None, tf.constant(bias), activation=activation, normalization=None
    )
    np.testing.assert_allclose(tape.gradient(value, y), -expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_parabolic_steps_let_the_potential_fall_up_to_the_limit(rng, activation):
    for fraction in (0.5, 0.99):
        block = constant(rng, layers.ParabolicBlock, 30, 2 * fraction, activation)
        (theta,) = fields(block)
        states = block.trajectory(3 * rng.normal(size=(2, *SPACE, 4)))
        values = np.stack([stability.potential(y, *theta, activation) for y in states])
        assert np.all(np.diff(values, axis=0) <= 1e-12)


def test_beyond_the_limit_the_potential_may_rise(rng):
    block = layers.ParabolicBlock(5, 2.1, 1, activation="linear", normalization=None, use_bias=False)
    block.build((None, *SPACE, 1))
    block.kernel.assign(np.ones(block.kernel.shape))
    states = block.trajectory(rng.normal(size=(1, *SPACE, 1)))
    values = [float(stability.potential(y, block.kernel[0, 0], None, "linear")[0]) for y in states]
    np.testing.assert_allclose(np.diff(np.log(values)), 2 * np.log(1.1), rtol=1e-9)


def drifts(cls, h, seed, time=60.0, activation="tanh"):
    """Return the relative changes of H and of H_h over a long time, each of shape (steps + 1,)."""
    rng = np.random.default_rng(seed)
    block = constant(rng, cls, round(time / h), h, activation)
    y0 = rng.normal(size=(1, *SPACE, 4))
    start = block.integrator.start(tf.constant(y0))
    states = tf.function(lambda: ops.trajectory(block.integrator, block.field, block.theta(), h, start))()
    first, second = (keras.ops.reshape(part, (-1, *part.shape[2:])) for part in states)
    if cls is layers.HamiltonianBlock:
        (k1, b1), (k2, b2) = fields(block)
        energies = [stability.verlet_hamiltonian(first, second, k1, k2, b1, b2, activation, s) for s in (0.0, h)]
    else:
        ((k, b),) = fields(block)
        energies = [
            stability.leapfrog_hamiltonian(first[1:], second[1:], k, b, activation, h, modified=modified)
            for modified in (False, True)
        ]
    return [np.asarray(energy / energy[0] - 1) for energy in energies]


@pytest.mark.parametrize("cls", [layers.HamiltonianBlock, layers.SecondOrderBlock])
def test_hyperbolic_steps_conserve_the_energy_over_long_times(cls):
    coarse, fine = drifts(cls, 0.3, seed=1), drifts(cls, 0.15, seed=1)
    for order, (wide, narrow) in enumerate(zip(coarse, fine, strict=True), start=1):
        half = len(wide) // 2
        assert np.abs(wide[half:]).max() < 1.5 * np.abs(wide[:half]).max()  # no growth in time
        ratio = np.abs(wide).max() / np.abs(narrow).max()
        assert 0.7 * 2**order < ratio < 1.5 * 2**order
    assert np.abs(coarse[1]).max() < 0.2 * np.abs(coarse[0]).max()


def test_for_the_identity_they_are_the_linear_energies(rng):
    y, z = rng.normal(size=(2, 2, *SPACE, 2))
    k1, k2 = rng.normal(size=(2, 3, 3, 2, 3))
    expected = stability.verlet_energy(y, z, k1, k2, 0.1) / 2
    np.testing.assert_allclose(stability.verlet_hamiltonian(y, z, k1, k2, None, None, "linear", 0.1), expected)
    expected = stability.leapfrog_energy(y, z, k1, 0.1) / 2
    np.testing.assert_allclose(stability.leapfrog_hamiltonian(y, z, k1, None, "linear", 0.1), expected)


def test_relu_conserves_the_energy_and_lets_features_drift():
    """Features below 0 feel no force: y'' = -relu(y) leaves with constant speed, at constant energy."""
    block = layers.SecondOrderBlock(
        100, 0.1, 1, normalization=None, use_bias=False, time_basis="constant", basis_size=1
    )
    block.build((None, 1, 1, 1))
    block.kernel.assign(np.ones(block.kernel.shape))
    y, v = block.forward(np.ones((1, 1, 1, 1)))
    assert float(y[0, 0, 0, 0]) < -5
    energy = stability.leapfrog_hamiltonian(y, v, block.kernel[0, 0], None, "relu", 0.1)
    assert float(energy[0]) == pytest.approx(0.5, rel=0.02)


def test_with_kernels_that_change_in_time_nothing_is_conserved(rng):
    block = constant(rng, layers.HamiltonianBlock, 60, 0.1, "tanh")
    moving = layers.HamiltonianBlock(60, 0.1, normalization=None, activation="tanh", time_basis="linear", basis_size=2)
    moving.build((None, *SPACE, 4))
    kernel = np.asarray(block.kernel)[0]
    moving.kernel.assign(np.stack([kernel, -4 * np.roll(kernel, 1, axis=-2)]))
    moving.bias.assign(np.concatenate([block.bias, block.bias]))
    y = rng.normal(size=(1, *SPACE, 4))
    changes = []
    for layer in (block, moving):
        (k1, b1), (k2, b2) = fields(layer)
        values = [
            float(stability.verlet_hamiltonian(*np.split(s, 2, axis=-1), k1, k2, b1, b2, "tanh", 0.1)[0])
            for s in (y, np.asarray(layer(y)))
        ]
        changes.append(abs(values[1] / values[0] - 1))
    assert changes[0] < 0.01
    assert changes[1] > 0.1


def jacobian(block, y):
    """Return the matrix of the derivative of a Hamiltonian block, first half of the channels first."""
    n = y.size
    inputs = tf.constant(np.repeat(y, n, axis=0))
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        value = tf.reduce_sum(np.eye(n).reshape(inputs.shape) * block(inputs))
    halves_first = np.arange(n).reshape(-1, 2, y.shape[-1] // 2).swapaxes(0, 1).ravel()
    return tape.gradient(value, inputs).numpy().reshape(n, n)[np.ix_(halves_first, halves_first)]


@pytest.mark.parametrize("normalization", [None, "scale", "shrinkage", "tv"])
def test_hamiltonian_blocks_are_symplectic_without_tv(rng, randomize, normalization):
    """With weights that change in time, too; with "tv" they keep volumes alone."""
    activation = "relu" if normalization == "shrinkage" else "tanh"
    block = layers.HamiltonianBlock(3, 0.5, normalization=normalization, activation=activation)
    block.build((None, 2, 2, 4))
    randomize(block)
    matrix = jacobian(block, rng.normal(size=(1, 2, 2, 4)))
    half = len(matrix) // 2
    omega = np.block([[np.zeros((half, half)), np.eye(half)], [-np.eye(half), np.zeros((half, half))]])
    defect = np.abs(matrix.T @ omega @ matrix - omega).max() / np.linalg.norm(matrix, 2) ** 2
    assert np.linalg.slogdet(matrix)[1] == pytest.approx(0, abs=1e-10)
    assert (defect > 1e-4) if normalization == "tv" else (defect < 1e-14)


def test_activations_without_an_antiderivative_are_refused():
    with pytest.raises(ValueError, match="Received: activation='gelu'"):
        stability.potential(np.ones((1, 3, 1)), np.ones((1, 1, 1)), activation="gelu")
