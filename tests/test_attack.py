"""Attacks, noise and blur: what they return, and how much a trained network loses under each."""

import keras
import numpy as np
import pytest

from keras_pdecnn import data, models, stability

RANGE = (0.0, 16.0)  # of the digits
EPSILON = {"l2": 6.0, "linf": 1.0}


@pytest.fixture(scope="module")
def digits():
    """Return a network trained on the digits for a few epochs, with 120 test examples and their labels."""
    keras.utils.set_random_seed(0)
    loaded = data.load("digits", batch_size=32, validation=0.0)
    model = models.HamiltonianCNN(loaded.info.input_shape, 10, widths=(8, 16), steps=2)
    rates = keras.optimizers.schedules.PiecewiseConstantDecay([5 * loaded.steps_per_epoch], [0.05, 0.005])
    model.compile(keras.optimizers.SGD(rates, 0.9), "sparse_categorical_crossentropy")
    model.fit(loaded.train, epochs=7, verbose=0)
    x, y = (np.concatenate(parts) for parts in zip(*loaded.test.as_numpy_iterator(), strict=True))
    return model, np.float32(x[:120]), y[:120]


def accuracy(model, x, y):
    return np.mean(model.predict(x, verbose=0).argmax(axis=-1) == y)


def size(difference, norm):
    return np.linalg.norm(difference.reshape(len(difference), -1), 2 if norm == "l2" else np.inf, axis=1)


@pytest.fixture(scope="module")
def attacked(digits):
    """Return what each method makes of the digits, by (norm, method)."""
    model, x, y = digits
    return {
        (norm, method): stability.attack(model, x, y, EPSILON[norm], norm, method, steps=20, bounds=RANGE)
        for norm in EPSILON
        for method in ("random", "fgsm", "pgd")
    }


@pytest.mark.parametrize("method", ["random", "fgsm", "pgd"])
@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_attacks_stay_in_the_ball_and_the_bounds(digits, attacked, norm, method):
    _, x, _ = digits
    found = attacked[norm, method]
    assert found.shape == x.shape
    assert found.dtype == np.float32
    sizes = size(np.float64(found) - x, norm)
    assert sizes.max() <= EPSILON[norm] * (1 + 1e-5)
    # Most of the ball is used: an example loses what the bounds cut off.
    assert np.median(sizes) >= 0.6 * EPSILON[norm]
    assert RANGE[0] <= found.min()
    assert found.max() <= RANGE[1]


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_pgd_is_stronger_than_fgsm_and_both_than_noise(digits, attacked, norm):
    model, x, y = digits
    clean = accuracy(model, x, y)
    noise, fgsm, pgd = (accuracy(model, attacked[norm, method], y) for method in ("random", "fgsm", "pgd"))
    assert clean >= 0.9
    assert noise >= clean - 0.05
    assert fgsm <= noise - 0.05
    assert pgd <= fgsm - 0.02


def test_attacks_depend_on_the_seed_alone(digits):
    model, x, y = digits
    settings = {"epsilon": 4.0, "steps": 3, "bounds": RANGE}
    first, again, other = (stability.attack(model, x[:8], y[:8], **settings, seed=seed) for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert size(other - first, "l2").min() > 0.1


def test_more_restarts_are_never_weaker(digits):
    model, x, y = digits
    x, y = x[:16], y[:16]
    few, many = (
        stability.attack(model, x, y, 4.0, steps=4, restarts=restarts, bounds=RANGE, batch_size=5)
        for restarts in (1, 3)
    )
    before, after = margin(model, few, y), margin(model, many, y)
    assert np.all(after >= before - 1e-4)
    assert np.any(after > before + 1e-3)


def margin(model, x, y):
    """Return by how much the largest wrong logit exceeds the right one."""
    f = stability.logits(model).predict(x, verbose=0)
    own = np.take_along_axis(f, y[:, None], axis=1)[:, 0]
    np.put_along_axis(f, np.int64(y)[:, None], -np.inf, axis=1)
    return f.max(axis=1) - own


@pytest.fixture(scope="module")
def linear():
    """Return a linear classifier, examples, their classes, and the exact distances to the nearest other class."""
    rng = np.random.default_rng(5)
    kernel, bias = rng.normal(size=(64, 6)), rng.normal(size=6)
    x = rng.uniform(60, 190, (60, 8, 8, 1)).astype(np.float32)
    f = x.reshape(60, -1) @ kernel + bias
    y = f.argmax(axis=1)
    margins = f.max(axis=1, keepdims=True) - f
    np.put_along_axis(margins, y[:, None], np.inf, axis=1)
    distances = {
        norm: np.min(margins / np.linalg.norm(kernel[:, y].T[..., None] - kernel, dual, axis=1), axis=1)
        for norm, dual in (("l2", 2), ("linf", 1))
    }

    def model(scale):
        model = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(6, "softmax")])
        model.set_weights([scale * kernel, scale * bias])
        return model

    return model, x, y, distances


@pytest.mark.parametrize("method", ["pgd", "margin"])
@pytest.mark.parametrize("norm", ["l2", "linf"])
@pytest.mark.parametrize("scale", [1e-4, 10.0])
def test_the_size_of_the_logits_does_not_matter(linear, norm, scale, method):
    model, x, y, distances = linear
    model = model(scale)
    # Short of the nearest other class, just beyond it, and farther.
    epsilon = np.concatenate([factor * distances[norm] for factor in (0.99, 1.05, 1.5)])
    found = stability.attack(model, np.concatenate([x] * 3), np.concatenate([y] * 3), epsilon, norm, method)
    none, most, all_but_one = (1 - accuracy(model, part, y) for part in np.split(found, 3))
    assert none == 0
    assert most > 0.75
    assert all_but_one > 0.98


@pytest.mark.parametrize("method", ["random", "fgsm", "pgd"])
@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_rounding_leaves_no_ball(linear, norm, method):
    model, x, y, _ = linear
    epsilon = np.repeat([1e-6, 1e-3, 0.3], 20)
    found = stability.attack(model(1.0), x, y, epsilon, norm, method, steps=3)
    assert np.all(size(np.float64(found) - x, norm) <= epsilon * (1 + 1e-12))


def one_of_each_class(linear_model):
    kernel = linear_model.get_weights()[0]
    return np.float32(100 * (kernel - kernel.mean(axis=1, keepdims=True)).T).reshape(-1, 8, 8, 1)


def test_a_walk_along_the_boundary_finds_the_nearest_point_of_a_linear_classifier(linear, eager):
    model, x, y, distances = linear
    images = one_of_each_class(model(1.0))
    found = stability.boundary_attack(model(1.0), x, y, images, steps=2, restarts=5, bounds=None)
    np.testing.assert_allclose(size(np.float64(found) - x, "l2"), distances["l2"], rtol=1e-4)
    assert accuracy(model(1.0), found, y) == 0
    again = stability.boundary_attack(model(1.0), x[:9], y[:9], images, 2, 5, bounds=None, batch_size=5)
    np.testing.assert_allclose(again, found[:9], rtol=1e-4)
    # An example of another class stays where it is.
    one = stability.boundary_attack(model(1.0), x[:20], np.roll(y[:20], 1), images=x, restarts=1, steps=1)
    wrong = y[:20] != np.roll(y[:20], 1)
    assert np.array_equal(one[wrong], x[:20][wrong])
    assert one.min() >= 0


def test_a_walk_along_the_boundary_of_a_network(digits, eager):
    """The other attack needs about as much: at half the distance it rarely succeeds, at one and a half it does."""
    model, x, y = digits
    found = stability.boundary_attack(model, x[:12], y[:12], x[:30], steps=2, restarts=1, bounds=RANGE)
    sizes = size(np.float64(found) - x[:12], "l2")
    assert found.min() >= RANGE[0]
    assert found.max() <= RANGE[1]
    assert np.all(model.predict(found, verbose=0).argmax(axis=-1) != y[:12])
    half, more = (stability.attack(model, x[:12], y[:12], f * sizes, steps=4, bounds=RANGE) for f in (0.5, 1.5))
    assert accuracy(model, half, y[:12]) > 0.6
    assert accuracy(model, more, y[:12]) < 0.2


def test_a_wrong_certificate_is_refuted(linear, eager):
    model, x, _, distances = linear
    radius = stability.certified_radius(model(1.0), x)
    assert np.all(radius <= distances["l2"])
    found = stability.smallest_perturbation(model(1.0), x, images=one_of_each_class(model(1.0)), steps=2, restarts=5)
    np.testing.assert_allclose(found, distances["l2"], rtol=1e-3)
    assert np.all(found >= radius)
    # A bound that is too small by a factor of 3: the attack within the radius finds what the walk finds.
    wrong = stability.smallest_perturbation(model(1.0), x, 3 * radius, steps=4, restarts=1)
    assert np.all(wrong < 3 * radius)


def test_what_a_walk_needs(linear):
    model, x, y, _ = linear
    with pytest.raises(ValueError, match=r"another class than y. Received: images of the classes \[\d\]"):
        stability.boundary_attack(model(1.0), x[:1], y[:1])
    with pytest.raises(ValueError, match="Received: restarts=0"):
        stability.boundary_attack(model(1.0), x, y, restarts=0)


def test_radii_may_differ_between_examples(digits):
    model, x, y = digits
    radii = np.linspace(0, 4, 9)
    sizes = size(np.float64(stability.attack(model, x[:9], y[:9], radii, method="fgsm", bounds=RANGE)) - x[:9], "l2")
    assert sizes[0] == 0
    assert np.all(sizes <= radii * (1 + 1e-5))
    assert np.all(sizes[1:] >= 0.6 * radii[1:])


def test_a_saturated_softmax_hides_nothing(digits):
    """With logits 1,000 times as large, the softmax is 0 or 1, and the gradient of its cross-entropy is 0."""
    model, x, y = digits
    sure = keras.models.clone_model(model)
    sure.set_weights([*model.get_weights()[:-2], *(1000 * weight for weight in model.get_weights()[-2:])])
    probabilities = sure.predict(x, verbose=0)
    assert np.mean(probabilities.max(axis=1) > 1 - 1e-6) > 0.9
    found = stability.attack(sure, x, y, EPSILON["l2"], steps=20, bounds=RANGE)
    assert accuracy(sure, found, y) <= accuracy(model, x, y) - 0.2


@pytest.mark.parametrize("shape", [(20, 2), (6, 6, 4, 1)])
def test_signals_and_volumes(rng, randomize, shape):
    model = randomize(models.ParabolicCNN(shape, 3, widths=(4,), steps=1, normalization=None, activation="tanh"))
    x = rng.uniform(0, 255, (4, *shape)).astype(np.float32)
    y = model.predict(x, verbose=0).argmax(axis=1)
    for norm, epsilon in (("l2", 10.0), ("linf", 2.0)):
        found = stability.attack(model, x, y, epsilon, norm, steps=10)
        assert size(np.float64(found) - x, norm).max() <= epsilon * (1 + 1e-5)
        assert np.all(margin(model, found, y) > margin(model, x, y))


def test_logits_are_before_the_softmax(digits, rng):
    model, x, _ = digits
    f = stability.logits(model)
    assert np.allclose(keras.ops.softmax(f.predict(x[:5], verbose=0)), model.predict(x[:5], verbose=0), atol=1e-6)
    assert stability.logits(f) is f
    inputs = keras.Input((4, 1))
    plain = keras.layers.Dense(3)(keras.layers.Flatten()(inputs))
    with_layer = keras.Model(inputs, keras.layers.Softmax()(plain))
    x = rng.normal(size=(2, 4, 1))
    assert np.array_equal(stability.logits(with_layer)(x), keras.Model(inputs, plain)(x))
    head = keras.layers.Dense(3, "softmax")
    sequential = keras.Sequential([keras.Input((4, 1)), keras.layers.Flatten(), head])
    found = keras.ops.softmax(stability.logits(sequential)(x))
    assert np.allclose(found, sequential(x), atol=1e-6)
    with pytest.raises(ValueError, match=r"Received: model=.*activation=sigmoid"):
        stability.logits(keras.Model(inputs, keras.layers.Dense(3, "sigmoid")(keras.layers.Flatten()(inputs))))
    with pytest.raises(ValueError, match="Received: model=3"):
        stability.logits(3)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"norm": "l1"}, "norm must be one of 'l2', 'linf'. Received: norm='l1'"),
        ({"method": "cw"}, "Received: method='cw'"),
        ({"epsilon": -1}, "Received: epsilon=-1"),
        ({"epsilon": [1, 2, 3]}, "Received: epsilon="),
        ({"epsilon": "big"}, "Received: epsilon='big'"),
        ({"steps": 0}, "Received: steps=0"),
        ({"step_size": 0}, "Received: step_size=0"),
        ({"restarts": 0}, "Received: restarts=0"),
        ({"bounds": (1, 0)}, r"Received: bounds=\(1, 0\)"),
        ({"bounds": (0, 1)}, "Received: x with entries from 0 to 16"),
        ({"x": np.zeros((2, 9, 8, 1))}, r"Received: shape=\(2, 9, 8, 1\)"),
        ({"x": np.full((2, 8, 8, 1), np.nan)}, "x must be finite"),
        ({"x": "image"}, "x must hold numbers. Received: dtype=<U5"),
        ({"x": [[1.0], [1.0, 2.0]]}, "x must be an array of numbers. Received: list"),
        ({"y": [0, 10]}, "y must be in 0..9. Received: y from 0 to 10"),
        ({"y": [0.0, 1.0]}, "y must be 2 integers"),
        ({"y": [0]}, r"y of shape \(1,\)"),
    ],
)
def test_wrong_arguments_are_named(digits, changes, message):
    model, x, y = digits
    arguments = {"x": x[:2], "y": y[:2], "epsilon": 1.0, "bounds": RANGE, **changes}
    with pytest.raises(ValueError, match=message):
        stability.attack(model, **arguments)


def test_noise_is_what_it_says(rng):
    x = np.full((20, 12, 12, 3), 100.0)
    noisy = stability.gaussian_noise(x, 10.0)
    assert noisy.dtype == np.float32
    assert abs(np.std(noisy) - 10) < 0.3
    assert abs(np.mean(noisy) - 100) < 0.5
    assert np.array_equal(noisy, stability.gaussian_noise(x, 10.0, seed=0))
    assert not np.array_equal(noisy, stability.gaussian_noise(x, 10.0, seed=1))
    clipped = stability.gaussian_noise(x, 500.0, bounds=(90, 110))
    assert (clipped.min(), clipped.max()) == (90, 110)

    salted = stability.salt_and_pepper(x, 0.2)
    replaced = salted != 100
    assert set(np.unique(salted)) == {0, 100, 255}
    assert abs(np.mean(replaced) - 0.2) < 0.03
    assert abs(np.mean(salted[replaced] == 255) - 0.5) < 0.06
    assert np.all(salted == salted[..., :1]), "all channels of a pixel"
    assert np.array_equal(salted, stability.salt_and_pepper(x, 0.2))


@pytest.mark.parametrize("space", [(15,), (15, 15), (15, 15, 15)])
def test_blur_is_the_gaussian_along_the_space_axes(space):
    x = np.zeros((2, *space, 2))
    x[0, *[7] * len(space), 1] = 1.0
    found = stability.blur(x, 1.0)
    kernel = np.exp(-(np.arange(-4, 5) ** 2) / 2)
    kernel = np.pad(kernel / kernel.sum(), 3)
    expected = kernel
    for _ in space[1:]:
        expected = np.multiply.outer(expected, kernel)
    assert np.allclose(found[0, ..., 1], expected, atol=1e-6)
    assert not found[1].any()
    assert not found[..., 0].any()
    assert np.allclose(stability.blur(np.full((1, *space, 1), 7.0), 2.0), 7.0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: stability.gaussian_noise(x, -1), "Received: deviation=-1"),
        (lambda x: stability.gaussian_noise(x, 1, bounds=(0,)), r"Received: bounds=\(0,\)"),
        (lambda x: stability.salt_and_pepper(x, 2), "Received: fraction=2"),
        (lambda x: stability.blur(x, "much"), "Received: deviation='much'"),
        (lambda x: stability.blur(x[0], 1), r"Received: shape=\(8, 1\)"),
    ],
)
def test_wrong_noise_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call(np.zeros((1, 8, 1)))
