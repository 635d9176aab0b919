import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_pdecnn import layers, ops, stability

SPACE, CHANNELS, FILTERS = (6, 6), 2, 3
PADDINGS = ["same", "periodic"]


def dense(kernel, padding):
    """Return the matrix of the convolution, one column for each entry of the features."""
    size = np.prod(SPACE) * CHANNELS
    columns = ops.convolve(np.eye(size).reshape(size, *SPACE, CHANNELS), kernel, padding)
    return np.asarray(columns).reshape(size, -1).T


def norm(matrix):
    return np.linalg.norm(matrix, 2)


@pytest.fixture
def kernels(rng):
    return rng.normal(size=(2, 3, 3, CHANNELS, FILTERS))


@pytest.fixture
def states(rng):
    return rng.normal(size=(2, 3, *SPACE, CHANNELS))


class Verlet:
    """The step, its energy with its exact threshold, and that energy with dense matrices."""

    integrator = ops.verlet

    @staticmethod
    def threshold(kernels, padding):
        first, second = (dense(kernel, padding) for kernel in kernels)
        return 2 / norm(second @ first.T)

    @staticmethod
    def energy(y, z, kernels, h, padding):
        return stability.verlet_energy(y, z, *kernels, h, padding)

    @staticmethod
    def by_hand(y, z, kernels, h, padding):
        A, B = (dense(kernel, padding).T @ dense(kernel, padding) for kernel in kernels)
        return y @ B @ y + z @ A @ z - h * y @ B @ A @ z


class Leapfrog:
    integrator = ops.leapfrog

    @staticmethod
    def threshold(kernels, padding):
        return 2 / norm(dense(kernels[0], padding))

    @staticmethod
    def energy(y, v, kernels, h, padding):
        return stability.leapfrog_energy(y, v, kernels[0], h, padding)

    @staticmethod
    def by_hand(y, v, kernels, h, padding):
        A = dense(kernels[0], padding).T @ dense(kernels[0], padding)
        return v @ v / h**2 + y @ A @ (y - v)


every_scheme = pytest.mark.parametrize("scheme", [Verlet, Leapfrog], ids=lambda s: s.__name__)
every_padding = pytest.mark.parametrize("padding", PADDINGS)


def propagator(scheme, kernels, h, padding, steps):
    """Return a function that takes a state over a number of steps of the package's own integrator."""
    field = ops.Field(activation=keras.activations.linear, normalization=None, padding=padding)
    theta = {"kernel": tf.constant(np.repeat(kernels[None, : scheme.integrator.fields], steps, axis=0))}
    return tf.function(lambda *state: ops.propagate(scheme.integrator, field, theta, h, state))


@every_scheme
@every_padding
def test_energy_is_the_formula(kernels, states, scheme, padding):
    found = scheme.energy(*states, kernels, 0.1, padding)
    assert found.shape == (3,)
    for example in range(3):
        expected = scheme.by_hand(*states[:, example].reshape(2, -1), kernels, 0.1, padding)
        assert abs(found[example] - expected) <= 1e-13 * abs(expected)


@every_scheme
@every_padding
@pytest.mark.parametrize("fraction", [0.5, 0.99])
def test_energy_is_conserved_below_the_threshold(kernels, states, scheme, padding, fraction):
    h = fraction * scheme.threshold(kernels, padding)
    advance = propagator(scheme, kernels, h, padding, steps=1000)
    start, state, drift = scheme.energy(*states, kernels, h, padding), states, []
    assert np.all(start > 0)
    for _ in range(10):
        state = advance(*state)
        drift.append(scheme.energy(*state, kernels, h, padding) / start - 1)
    assert np.max(np.abs(drift)) < 1e-11
    assert norm(np.ravel(state)) < 100 * norm(np.ravel(states))
    # It is no constant function: another state has another energy.
    assert abs(scheme.energy(*(1.01 * states), kernels, h, padding)[0] / start[0] - 1) > 0.01


@every_scheme
@every_padding
def test_features_blow_up_above_the_threshold(kernels, states, scheme, padding):
    h = 1.01 * scheme.threshold(kernels, padding)
    state = propagator(scheme, kernels, h, padding, steps=200)(*states)
    # The fastest mode grows by q with q + 1/q = 4.0804 - 2 in every step, q = 1.33.
    growth = norm(np.ravel(state)) / norm(np.ravel(states))
    assert 1e20 < growth < 1e28


@every_padding
@pytest.mark.parametrize("fraction", [0.5, 0.99, 1.01])
def test_forward_euler_decays_exactly_below_the_step_limit(float64, kernels, states, padding, fraction):
    matrix = dense(kernels[0], padding)
    settings = {"activation": "linear", "normalization": None, "use_bias": False, "padding": padding}
    block = layers.ParabolicBlock(1, fraction * 2 / norm(matrix) ** 2, filters=FILTERS, **settings)
    block.build(states[0].shape)
    block.kernel.assign(kernels[None, :1])
    step, y = tf.function(block), states[0]
    norms = [norm(np.ravel(y))]
    for _ in range(500):
        y = step(y)
        norms.append(norm(np.ravel(y)))
    if fraction < 1:
        assert np.all(np.diff(norms) < 0)
        assert norms[-1] < 0.1 * norms[0]
    else:
        # The highest frequency is multiplied by 1 - 2 * 1.01 in every step.
        assert norms[-1] > 100 * norms[0]
        assert abs(norms[-1] / norms[-2] - 1.02) < 1e-3
