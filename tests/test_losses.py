import keras
import numpy as np
import pytest

from keras_pdecnn.losses import CrossEntropy, LeastSquares


def test_value_for_targets_and_for_labels(rng):
    f, labels = rng.normal(size=(5, 3)).astype("float32"), np.array([0, 2, 1, 1, 2])
    targets = np.eye(3)[labels]
    expected = np.mean(0.5 * np.sum((f - targets) ** 2, axis=1))
    assert float(LeastSquares()(targets, f)) == pytest.approx(expected, rel=1e-6)
    assert float(LeastSquares()(labels, f)) == pytest.approx(expected, rel=1e-6)
    assert float(LeastSquares(reduction="sum")(labels, f)) == pytest.approx(5 * expected, rel=1e-6)


def test_linear_regression_finds_the_least_squares_solution(rng):
    x = rng.normal(size=(40, 2)).astype("float32")
    y = (x @ [[1.0, 2.0], [0.5, -1.0]] + [0.3, 0.1] + rng.normal(scale=0.1, size=(40, 2))).astype("float32")
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)])
    model.compile(keras.optimizers.SGD(0.3), LeastSquares())
    model.fit(x, y, batch_size=40, epochs=60, verbose=0)
    best, *_ = np.linalg.lstsq(np.c_[x, np.ones(40)], y, rcond=None)
    np.testing.assert_allclose(np.r_[model.layers[0].kernel, [model.layers[0].bias]], best, atol=1e-4)


def test_config_gives_the_loss_back():
    original = LeastSquares(reduction="sum", name="squares", dtype="float64")
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(original))
    assert isinstance(copy, LeastSquares)
    assert copy.get_config() == original.get_config()
    assert copy.dtype == "float64"


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_cross_entropy_of_labels_and_of_probabilities(rng, smoothing):
    p = rng.dirichlet(np.ones(4), 5).astype("float32")
    labels = np.array([0, 3, 1, 2, 1])
    targets = np.eye(4, dtype="float32")[labels]
    smooth = (1 - smoothing) * targets + smoothing / 4
    expected = np.mean(-np.sum(smooth * np.log(p), axis=1))
    loss = CrossEntropy(smoothing)
    assert float(loss(labels, p)) == pytest.approx(expected, rel=1e-5)
    assert float(loss(targets, p)) == pytest.approx(expected, rel=1e-5)
    mixture = rng.dirichlet(np.ones(4), 5).astype("float32")
    smooth = (1 - smoothing) * mixture + smoothing / 4
    assert float(loss(mixture, p)) == pytest.approx(np.mean(-np.sum(smooth * np.log(p), axis=1)), rel=1e-5)
    if not smoothing:
        assert float(loss(labels, p)) == pytest.approx(
            float(keras.losses.SparseCategoricalCrossentropy()(labels, p)), rel=1e-5
        )


def test_config_gives_the_cross_entropy_back():
    original = CrossEntropy(0.2, reduction="sum", name="smooth", dtype="float64")
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(original))
    assert isinstance(copy, CrossEntropy)
    assert copy.get_config() == original.get_config()
    assert (copy.label_smoothing, copy.dtype) == (0.2, "float64")
    with pytest.raises(ValueError, match="Received: label_smoothing=1"):
        CrossEntropy(1)


@pytest.mark.parametrize("dtype", ["int32", "string", "float7"])
def test_types_that_do_not_compute_are_refused(dtype):
    with pytest.raises(ValueError, match=f"Received: dtype='{dtype}'"):
        LeastSquares(dtype=dtype)
