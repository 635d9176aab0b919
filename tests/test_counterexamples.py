"""What the paper's theorems do not cover: see docs/counterexamples.md, whose figures these tests have."""

import numpy as np
import pytest
import tensorflow as tf

from keras_pdecnn import layers


@pytest.fixture(autouse=True)
def in_float64(float64):
    """These are statements about equations, not about rounding."""


def block_of_ones(block, channels, time, steps, **settings):
    """Return a block with K = 1 (on every channel) over a time: a system of ordinary differential equations."""
    settings = {"kernel_size": 1, "use_bias": False, "normalization": None, **settings}
    layer = block(steps, time / steps, **settings)
    layer.build((None, 1, channels))
    layer.kernel.assign(np.broadcast_to(np.eye(layer.kernel.shape[-1]), layer.kernel.shape))
    return layer


def distances(layer, first, second):
    """Return the distance of two solutions at all times."""
    states = np.asarray(layer.trajectory(np.array([first, second])[:, None]))[:, :, 0]
    return np.linalg.norm(states[:, 0] - states[:, 1], axis=-1)


# y' = -relu(N_tv(y)) for two channels at one pixel.
PAIR = [1.0, -0.14], [1.0, -0.15]


def test_theorem_1_fails_for_relu_after_tv():
    """Nearly the equation itself: halving the step does not change the distance."""
    found = distances(block_of_ones(layers.ParabolicBlock, 2, 1.0, 200, normalization="tv"), *PAIR)
    finer = distances(block_of_ones(layers.ParabolicBlock, 2, 1.0, 400, normalization="tv"), *PAIR)
    assert found.max() / found[0] > 1.15
    assert finer.max() == pytest.approx(found.max(), rel=0.01)


@pytest.mark.parametrize(
    "settings",
    [
        {"normalization": None},
        {"normalization": "scale"},
        {"normalization": "shrinkage"},
        {"normalization": "tv", "activation": "linear"},
    ],
    ids=str,
)
def test_the_same_pair_comes_closer_otherwise(settings):
    """ReLU and N_tv are both monotone, one after the other is not; in the opposite order it is."""
    found = distances(block_of_ones(layers.ParabolicBlock, 2, 1.0, 200, **settings), *PAIR)
    assert np.all(np.diff(found) <= 1e-15)
    assert found[-1] <= found[0]


def test_relu_after_tv_is_not_monotone():
    layer = layers.SymmetricConv(kernel_size=1, use_bias=False)
    layer.build((None, 1, 2))
    layer.kernel.assign(np.eye(2)[None])
    u, v = np.array([[[1.0, -1.0]]]), np.array([[[0.5, 0.0]]])
    # -K^T sigma(N(K u)) with K = 1, so the sign is turned.
    product = -float(np.sum((layer(u) - layer(v)) * (u - v)))
    assert product == pytest.approx(0.5 * (1 / np.sqrt(2 + 1e-3) - 0.5 / np.sqrt(0.25 + 1e-3)), rel=1e-12)
    assert product < -0.14


@pytest.mark.parametrize("time", [10.0, 30.0])
def test_theorem_2_fails_for_relu_in_the_second_order_equation(time):
    """The solution of y'' = -relu(y), y(0) = 1, y'(0) = 0: cos(t) until pi / 2, then pi / 2 - t, without bound."""

    def solution(h, **settings):
        layer = block_of_ones(layers.SecondOrderBlock, 1, time, round(time / h), **settings)
        return float(tf.function(layer)(np.ones((1, 1, 1)))[0, 0, 0])

    # The start of the scheme is half a step off; extrapolation takes the error of first order away.
    relu, linear = (2 * solution(0.05, activation=a) - solution(0.1, activation=a) for a in ("relu", "linear"))
    assert relu == pytest.approx(np.pi / 2 - time, abs=0.02)
    assert linear == pytest.approx(np.cos(time), abs=0.05)


@pytest.mark.parametrize("h", [0.01, 1.0])
def test_theorem_2_fails_for_relu_in_the_hamiltonian_equations(h):
    """Y' = -relu(z), z' = relu(y) from (-1, 1): z stays, y falls, at any step size."""
    layer = block_of_ones(layers.HamiltonianBlock, 2, 100 * h, 100)
    out = np.asarray(layer(np.array([[[-1.0, 1.0]]]))).ravel()
    np.testing.assert_allclose(out, [-1 - 100 * h, 1.0], rtol=1e-12)


def test_perturbations_grow_with_time():
    """Two solutions of y'' = -relu(y) drift at the speeds they started at, y(0): their distance is that times t."""
    layer = block_of_ones(layers.SecondOrderBlock, 1, 20.0, 400)
    found = distances(layer, [1.0], [1.1])
    assert found[-1] / found[0] == pytest.approx(20.0 - np.pi / 2, rel=0.01)
