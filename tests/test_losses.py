import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_pdecnn.losses import CrossEntropy, LeastSquares, MarginCrossEntropy, MarginHinge, ScaledSquaredError


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


LOGITS = np.array([[1.0, 3.0, 0.5], [0.2, 0.1, 0.4], [2.0, -1.0, 0.0]], "float32")
LABELS = np.array([1, 0, 2])
MARGINS = [2.0, -0.2, -2.0]  # of the right class


def softmax(z):
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def expected_margin_loss(offsets, temperature):
    p = softmax((LOGITS + offsets) / temperature)
    return np.mean(-temperature * np.log(p[np.arange(3), LABELS]))


def test_margin_cross_entropy_adds_an_offset_to_all_other_classes():
    others = 1 - np.eye(3)[LABELS]
    loss = MarginCrossEntropy(margin=1.5, temperature=0.5, from_logits=True)
    assert float(loss(LABELS, LOGITS)) == pytest.approx(expected_margin_loss(1.5 * others, 0.5), rel=1e-5)
    assert float(loss(np.eye(3)[LABELS], LOGITS)) == pytest.approx(float(loss(LABELS, LOGITS)), rel=1e-6)
    plain = MarginCrossEntropy(margin=0, temperature=1, from_logits=True)
    expected = keras.losses.SparseCategoricalCrossentropy(from_logits=True)(LABELS, LOGITS)
    assert float(plain(LABELS, LOGITS)) == pytest.approx(float(expected), rel=1e-5)


def test_adaptive_offsets_are_at_most_the_margins():
    ahead = np.maximum(LOGITS[np.arange(3), LABELS][:, None] - LOGITS, 0)
    loss = MarginCrossEntropy(margin=1.5, temperature=0.5, adaptive=True, from_logits=True)
    assert float(loss(LABELS, LOGITS)) == pytest.approx(expected_margin_loss(np.minimum(1.5, ahead), 0.5), rel=1e-5)


def test_hinge_is_0_from_the_margin_on():
    for margin in (0.5, 2.0, 3.0):
        expected = np.mean(np.maximum(0, margin - np.array(MARGINS)))
        loss = MarginHinge(margin, from_logits=True)
        assert float(loss(LABELS, LOGITS)) == pytest.approx(expected, rel=1e-6)
        assert float(loss(np.eye(3)[LABELS], LOGITS)) == pytest.approx(expected, rel=1e-6)


MARGIN_LOSSES = [
    MarginCrossEntropy(1.5, 0.5),
    MarginCrossEntropy(1.5, 0.5, adaptive=True),
    MarginHinge(1.0),
]


@pytest.mark.parametrize("loss", MARGIN_LOSSES, ids=lambda loss: loss.name)
def test_margin_losses_of_probabilities_and_their_gradients(loss, rng):
    logits = rng.normal(size=(6, 4)).astype("float32")
    labels = rng.integers(4, size=6)
    of_logits = type(loss).from_config({**loss.get_config(), "from_logits": True})
    assert float(loss(labels, softmax(logits))) == pytest.approx(float(of_logits(labels, logits)), rel=1e-4)
    z = tf.Variable(logits, dtype="float32")
    with tf.GradientTape(persistent=True) as tape:
        values = of_logits(labels, z), loss(labels, tf.nn.softmax(z))
    gradient, of_softmax = (np.asarray(tape.gradient(value, z)) for value in values)
    np.testing.assert_allclose(of_softmax, gradient, atol=1e-5)
    np.testing.assert_allclose(gradient.sum(axis=1), 0, atol=1e-6)  # a number added to all logits changes nothing
    direction = rng.normal(size=logits.shape).astype("float32")
    if not getattr(loss, "adaptive", False):  # the offsets of which have no gradient
        ends = [float(of_logits(labels, logits + t * direction)) for t in (1e-2, -1e-2)]
        assert np.sum(gradient * direction) == pytest.approx((ends[0] - ends[1]) / 2e-2, rel=0.02, abs=1e-3)


@pytest.mark.parametrize("loss", MARGIN_LOSSES, ids=lambda loss: loss.name)
def test_config_gives_the_margin_loss_back(loss):
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(loss))
    assert copy.get_config() == loss.get_config()
    for name, value in (("margin", -1.0), ("temperature", 0.0)):
        if name in loss.get_config():
            with pytest.raises(ValueError, match=f"Received: {name}={value}"):
                type(loss)(**{name: value})


def test_extreme_probabilities_leave_the_loss_finite():
    p = np.array([[1.0, 0.0], [0.0, 1.0]], "float32")
    for loss in MARGIN_LOSSES:
        assert np.isfinite(float(loss(np.array([0, 0]), p)))


# Targets.


OF_CLASSES = [LeastSquares(), CrossEntropy(), MarginCrossEntropy(), MarginHinge()]


@pytest.mark.parametrize("loss", OF_CLASSES, ids=lambda loss: loss.name)
@pytest.mark.parametrize("shape", [(4,), (2, 3, 3)])
def test_labels_may_have_a_last_axis_of_one_entry(loss, shape, rng):
    p, labels = rng.dirichlet(np.ones(3), shape).astype("float32"), rng.integers(3, size=shape)
    expected = float(loss(np.eye(3, dtype="float32")[labels], p))
    assert float(loss(labels, p)) == pytest.approx(expected, rel=1e-6)
    assert float(loss(labels[..., None], p)) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("loss", OF_CLASSES, ids=lambda loss: loss.name)
@pytest.mark.parametrize("shape", [(4, 2), (1,), (4, 2, 1), (4, 3, 3)])
def test_targets_of_another_shape_are_refused(loss, shape):
    shapes = ", ".join(map(str, shape)) + ("," if len(shape) == 1 else "")
    with pytest.raises(ValueError, match=rf"Received: targets of shape \({shapes}\) for outputs of shape \(4, 3\)"):
        loss(np.zeros(shape, "float32"), np.full((4, 3), 0.3, "float32"))


@pytest.mark.parametrize("space", [(), (4, 4)])
def test_numbers_of_one_channel_may_lack_its_axis(space, rng):
    y, predicted = rng.normal(size=(2, 4, *space, 1)).astype("float32")
    loss = ScaledSquaredError(2.0)
    assert float(loss(y[..., 0], predicted)) == pytest.approx(np.mean((y - predicted) ** 2) / 4, rel=1e-6)
    assert float(loss(y, predicted)) == pytest.approx(float(loss(y[..., 0], predicted)), rel=1e-6)
    wide = np.repeat(predicted, 3, axis=-1)
    for wrong in (y, y[..., 0], y[None]):
        with pytest.raises(ValueError, match=r"Received: targets of shape \(.*\) for outputs of shape \(4, "):
            loss(wrong, wide)
