"""Metrics of images against those of TensorFlow, the others against their definitions."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_pdecnn import metrics


@pytest.fixture
def images(rng):
    """Return images, and the same with noise."""
    clean = rng.uniform(0, 255, (3, 12, 15, 3)).astype("float32")
    return clean, (clean + rng.normal(scale=20, size=clean.shape)).astype("float32")


@pytest.mark.parametrize(("metric", "reference"), [(metrics.PSNR, tf.image.psnr), (metrics.SSIM, tf.image.ssim)])
def test_images(images, metric, reference):
    clean, noisy = images
    expected = reference(clean, noisy, max_val=255.0).numpy()
    measured = metric.from_config(metric(255.0).get_config())
    for part in (slice(0, 2), slice(2, 3)):  # images count alike, whatever the size of their batch
        measured.update_state(clean[part], noisy[part])
    assert float(measured.result()) == pytest.approx(expected.mean(), rel=1e-4)
    measured.reset_state()
    measured.update_state(clean, noisy, sample_weight=np.array([0.0, 1.0, 0.0]))
    assert float(measured.result()) == pytest.approx(expected[1], rel=1e-4)
    with pytest.raises(ValueError, match="Received: max_value=0"):
        metric(0)


@pytest.mark.parametrize("metric", [metrics.PSNR, metrics.SSIM])
def test_images_of_one_channel_may_lack_its_axis(metric, rng):
    """With as many images as rows, the difference of both shapes would be broadcast."""
    clean, noisy = rng.uniform(size=(2, 12, 12, 12, 1)).astype("float32")
    measured = metric(), metric()
    measured[0].update_state(clean, noisy)
    measured[1].update_state(clean[..., 0], noisy)
    assert float(measured[1].result()) == pytest.approx(float(measured[0].result()), rel=1e-6)
    with pytest.raises(ValueError, match=r"Received: targets of shape \(12, 12, 12, 1\) for outputs of shape"):
        metric().update_state(clean, np.repeat(noisy, 3, axis=-1))


def test_ssim_needs_room_for_its_window():
    small = keras.ops.ones((1, 8, 16, 1))
    with pytest.raises(ValueError, match=r"at least 11 pixels .* Received: shape=\(1, 8, 16, 1\)"):
        metrics.SSIM().update_state(small, small)


def test_equal_images():
    image = keras.ops.ones((1, 11, 11, 1))
    for metric, best in ((metrics.PSNR(), 200.0), (metrics.SSIM(), 1.0)):
        metric.update_state(image, image)
        assert float(metric.result()) == pytest.approx(best)


def r2_score(y, predicted):
    y, predicted = np.asarray(y, np.float64), np.asarray(predicted, np.float64)
    return np.mean(1 - ((y - predicted) ** 2).sum(axis=0) / ((y - y.mean(axis=0)) ** 2).sum(axis=0))


@pytest.mark.parametrize("mean", [0.0, 293.0, 1e5])
def test_r2_of_numbers_with_a_large_mean(rng, mean):
    y = (mean + rng.normal(scale=(1, 30), size=(200, 2))).astype("float32")
    predicted = (y + rng.normal(scale=(0.5, 20), size=y.shape)).astype("float32")
    metric = metrics.StandardizedR2Score([mean, mean + 3], (1.1, 25.0))
    metric = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(metric))
    for part in (slice(0, 150), slice(150, 200)):
        metric.update_state(y[part], predicted[part])
    assert float(metric.result()) == pytest.approx(r2_score(y, predicted), abs=1e-4)
    with pytest.raises(ValueError, match="Received: deviation=0"):
        metrics.StandardizedR2Score(0.0, [1.0, 0])


def area(y, p):
    """Return how probably an example with the label has a larger p than one without it; equal ones count half."""
    difference = p[y == 1][:, None] - p[y == 0]
    return ((difference > 0) + 0.5 * (difference == 0)).mean()


@pytest.mark.parametrize("scale", [1.0, 1e-2, 1e-5])
def test_area_of_rare_labels(rng, scale):
    y = (rng.random((2000, 2)) < [0.02, 0.5]).astype("float32")
    p = (scale / (1 + np.exp(-rng.normal(size=y.shape) - y))).astype("float32")
    metric = metrics.LogitAUC(2)
    metric = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(metric))
    for part in (slice(0, 1500), slice(1500, 2000)):
        metric.update_state(y[part], p[part])
    assert float(metric.result()) == pytest.approx(np.mean([area(y[:, k], p[:, k]) for k in range(2)]), abs=5e-4)


def test_area_at_the_ends():
    metric = metrics.LogitAUC(1)
    metric.update_state([[0], [1], [0], [1]], [[0.0], [1.0], [0.0], [1.0]])
    assert float(metric.result()) == pytest.approx(1.0)
