"""Metrics of images against those of TensorFlow."""

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


def test_ssim_needs_room_for_its_window():
    small = keras.ops.ones((1, 8, 16, 1))
    with pytest.raises(ValueError, match=r"at least 11 pixels .* Received: shape=\(1, 8, 16, 1\)"):
        metrics.SSIM().update_state(small, small)


def test_equal_images():
    image = keras.ops.ones((1, 11, 11, 1))
    for metric, best in ((metrics.PSNR(), 200.0), (metrics.SSIM(), 1.0)):
        metric.update_state(image, image)
        assert float(metric.result()) == pytest.approx(best)
