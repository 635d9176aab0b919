import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_pdecnn.regularizers import TimeSmoothness

SETTINGS = [(0.3, 0.7, 0.5, 1e-3), (0.3, 0.0, 2.0, 0.1), (0.0, 0.7, 0.5, 1e-3)]


def by_hand(theta, alpha1, alpha2, h, tau):
    """Evaluate the formula (eq. 13), one time after the other."""
    variation = sum(np.sum(np.sqrt(((theta[j + 1] - theta[j]) / h) ** 2 + tau)) for j in range(len(theta) - 1))
    return alpha1 * h * variation + alpha2 / 2 * h * sum(np.sum(part**2) for part in theta)


def gradient_by_hand(theta, alpha1, alpha2, h, tau):
    slope = np.diff(theta, axis=0) / h
    flux = alpha1 * slope / np.sqrt(slope**2 + tau)
    nothing = np.zeros_like(theta[:1])
    return alpha2 * h * theta - np.diff(np.concatenate([nothing, flux, nothing]), axis=0)


@pytest.fixture
def theta(rng):
    return rng.normal(scale=0.1, size=(4, 2, 3, 3, 2, 5))


@pytest.mark.parametrize("settings", SETTINGS)
def test_value(theta, settings):
    expected = by_hand(theta, *settings)
    assert abs(TimeSmoothness(*settings)(tf.constant(theta)) - expected) <= 1e-12 * expected


@pytest.mark.parametrize("settings", SETTINGS)
def test_gradient(theta, settings):
    variable = tf.Variable(theta)
    with tf.GradientTape() as tape:
        value = TimeSmoothness(*settings)(variable)
    expected = gradient_by_hand(theta, *settings)
    assert np.max(np.abs(tape.gradient(value, variable) - expected)) <= 1e-12 * np.max(np.abs(expected))


def test_weights_constant_in_time_cost_the_smoothing_only(rng):
    theta = tf.Variable(np.repeat(rng.normal(size=(1, 3, 5)), 4, axis=0))
    with tf.GradientTape() as tape:
        value = TimeSmoothness(0.3, 0.0, 0.5)(theta)
    expected = 0.3 * 0.5 * 3 * 15 * np.sqrt(1e-3)
    assert abs(value - expected) <= 1e-12 * expected
    np.testing.assert_array_equal(tape.gradient(value, theta), np.zeros((4, 3, 5)))


def test_one_step_has_no_variation():
    theta = tf.fill((1, 6), tf.constant(2.0, tf.float64))
    assert float(TimeSmoothness(0.3, 0.0, 0.5)(theta)) == 0
    assert abs(TimeSmoothness(0.3, 0.1, 0.5)(theta) - 0.1 / 2 * 0.5 * 24) < 1e-14


def test_refining_time_keeps_the_variation(rng):
    """Twice as many steps of half the size, linear in between: the same integral, up to the smoothing."""
    ends = rng.normal(size=(2, 50))
    coarse = TimeSmoothness(1.0, 0.0, 1.0, tau=1e-12)(tf.constant(ends))
    middle = np.stack([ends[0], ends.mean(axis=0), ends[1]])
    fine = TimeSmoothness(1.0, 0.0, 0.5, tau=1e-12)(tf.constant(middle))
    assert abs(fine - coarse) < 1e-6 * abs(coarse)


def refined(theta):
    """Return theta at twice as many times, linear in between and constant after the last."""
    middle = (theta + np.concatenate([theta[1:], theta[-1:]])) / 2
    return np.stack([theta, middle], axis=1).reshape(-1, *theta.shape[1:])


@pytest.mark.parametrize("settings", [(0.3, 0.0), (0.0, 0.7), (0.3, 0.7)], ids=str)
def test_refining_time_changes_the_value_by_the_order_of_the_step(rng, settings):
    """Weights that are smooth in time, over the unit interval: half the step, half the change."""
    phase, frequency = rng.uniform(0, 1, (2, 3, 3, 2, 5))

    def change(steps):
        time = np.arange(steps).reshape(-1, 1, 1, 1, 1) / steps
        theta = np.sin(phase + 2 * frequency * time)
        assert refined(theta).shape[0] == 2 * steps
        fine = TimeSmoothness(*settings, 1 / (2 * steps))(tf.constant(refined(theta)))
        coarse = TimeSmoothness(*settings, 1 / steps)(tf.constant(theta))
        return abs(fine - coarse) / coarse

    changes = [change(steps) for steps in (32, 64, 128, 256)]
    assert np.all(np.abs(np.log2(np.divide(changes[:-1], changes[1:])) - 1) < 0.1)
    assert changes[-1] < 1 / 256


def test_config_gives_the_regularizer_back():
    original = TimeSmoothness(0.3, 0.7, 0.5, tau=0.1)
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(original))
    assert isinstance(copy, TimeSmoothness)
    assert copy.get_config() == original.get_config()


@pytest.mark.parametrize(
    "settings",
    [
        {"total_variation": -1.0},
        {"decay": float("nan")},
        {"step_size": 0.0},
        {"tau": 0.0},
        {"tau": "small"},
        {"decay": None},
    ],
    ids=str,
)
def test_refuses(settings):
    with pytest.raises(ValueError, match=r"Received: " + next(iter(settings))):
        TimeSmoothness(**{"total_variation": 1.0, "decay": 1.0, "step_size": 1.0, **settings})
