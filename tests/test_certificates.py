import keras
import numpy as np
import pytest
import tensorflow as tf
from sklearn.datasets import load_digits

from keras_pdecnn import layers, models
from keras_pdecnn.stability import block_bounds, certificates, certified_radius, layer_bounds, lipschitz_bound
from keras_pdecnn.stability.certificates import radius_before_standardization

SPACE = (8, 8)


# Standardisation.


def standardize(x):
    return np.asarray(layers.Standardization(dtype="float64")(x.astype("float64")))


def lengths(d):
    return np.linalg.norm(np.reshape(d, (len(d), -1)), axis=1)


@pytest.mark.parametrize(("n", "deviation"), [(3, 2.0), (12, 0.5), (12, 0.33), (12, 0.25), (12, 0.1), (50, 3.0)])
@pytest.mark.parametrize("part", [0.02, 0.3, 0.68, 0.72, 0.95])
def test_radius_before_standardization(rng, n, deviation, part):
    """No perturbation of the certified length leaves the ball, one that is hardly longer does."""
    x = rng.normal(size=(1, n, 1))
    x *= deviation / x.std()
    r = deviation * np.sqrt(n)
    R = np.array([part * 2 * np.sqrt(n)])
    (rho,) = radius_before_standardization(x + 7, R)
    # Random directions, and the plane of x and one other direction of mean 0, finely.
    centred = ((x - x.mean()) / r).ravel()
    other = rng.normal(size=n)
    other -= other.mean()
    other -= other @ centred * centred
    other /= np.linalg.norm(other)
    angle = np.linspace(0, 2 * np.pi, 20_001)[:, None]
    directions = np.concatenate([np.cos(angle) * centred + np.sin(angle) * other, rng.normal(size=(20_000, n))])
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    moved = lengths(standardize(x + 7 + rho * (1 - 1e-9) * directions[..., None]) - standardize(x))
    assert moved.max() <= R[0]
    if r >= 1:
        farther = lengths(standardize(x + 7 + rho * 1.001 * directions[..., None]) - standardize(x))
        assert farther.max() > R[0]


def test_no_radius_is_needed_beyond_the_diameter():
    x = np.random.default_rng(0).normal(size=(2, 4, 4, 1))
    assert np.array_equal(radius_before_standardization(x, [8.01, np.inf]), [np.inf, np.inf])
    assert np.array_equal(radius_before_standardization(x, [0.0, 0.0]), [0.0, 0.0])


def test_constant_examples(rng):
    # The floor of the deviation: around a constant, standardisation multiplies by sqrt(n).
    assert radius_before_standardization(np.full((1, 4, 4, 1), 7.0), [2.0])[0] == 0.5


# Radii of networks.


@pytest.fixture(scope="module")
def digits():
    x, y = load_digits(return_X_y=True)
    x = (x * (255 / 16)).reshape(-1, *SPACE, 1).astype("float32")
    return (x[:1300], y[:1300]), (x[1300:], y[1300:])


@pytest.fixture(scope="module")
def trained(digits):
    keras.utils.set_random_seed(3)
    model = models.ParabolicCNN((*SPACE, 1), classes=10, widths=(8, 12), steps=2, provable=True)
    model.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(*digits[0], batch_size=50, epochs=8, verbose=0)
    return model


def smallest_attack(model, x, labels, start, steps=25):
    """Return the length of the smallest successful l2 perturbation that projected gradient steps find."""
    classifier = model.layers[-1]
    features = keras.Model(model.input, classifier.input)

    @tf.function(input_signature=[tf.TensorSpec((None, *SPACE, 1))])
    def evaluate(z):
        with tf.GradientTape() as tape:
            tape.watch(z)
            logits = features(z) @ classifier.normalized_kernel() + classifier.bias
            loss = keras.losses.sparse_categorical_crossentropy(labels, logits, from_logits=True)
        return logits, tape.gradient(loss, z)

    def column(values):
        return np.maximum(values, 1e-30).reshape(-1, 1, 1, 1)

    smallest = np.full(len(x), np.inf)
    for factor in (1.0, 1.5, 2.5, 4.0):
        radius, z = column(factor * start), x
        for _ in range(steps):
            logits, gradient = (np.asarray(value, "float64") for value in evaluate(z.astype("float32")))
            wrong = logits.argmax(-1) != labels
            smallest = np.where(wrong, np.minimum(smallest, lengths(z - x)), smallest)
            d = z + 0.2 * radius * gradient / column(lengths(gradient)) - x
            z = x + d * np.minimum(1, radius / column(lengths(d)))
    return smallest


@pytest.mark.slow
def test_certified_radii_are_below_what_an_attack_needs(trained, digits):
    x, labels = (part[:300] for part in digits[1])
    predicted = trained.predict(x, verbose=0).argmax(-1)
    radius = certified_radius(trained, x)
    assert np.mean(predicted == labels) > 0.85
    # In units of pixels from 0 to 255: most digits are certified against more than a tenth of one pixel's range.
    assert np.mean(radius > 25) > 0.5
    found = smallest_attack(trained, x, predicted, np.maximum(radius, 1.0))
    assert np.all(found >= radius)
    # The attack is no straw man, and the certificate no formality.
    assert np.mean(found < 5 * radius) > 0.8


def test_radius_is_the_margin_over_the_bound(rng, randomize):
    model = randomize(
        models.ParabolicCNN((*SPACE, 1), classes=3, widths=(4,), provable=True, include_preprocessing=False)
    )
    x = rng.normal(size=(20, *SPACE, 1)).astype("float32")
    classifier = model.layers[-1]
    kernel = np.asarray(classifier.normalized_kernel(), "float64")
    features = np.asarray(keras.Model(model.input, classifier.input)(x), "float64")
    before = np.prod([bound.upper for bound in layer_bounds(model)[:-1]])
    logits = features @ kernel + np.asarray(classifier.bias)
    expected = []
    for f in logits:
        i = f.argmax()
        expected.append(min((f[i] - f[j]) / np.linalg.norm(kernel[:, i] - kernel[:, j]) for j in range(3) if j != i))
    np.testing.assert_allclose(certified_radius(model, x), np.array(expected) / before, rtol=1e-3, atol=2e-5)
    np.testing.assert_allclose(certified_radius(model, keras.ops.convert_to_tensor(x)), certified_radius(model, x))
    assert certified_radius(model, x[:0]).shape == (0,)


def test_paper_s_networks_have_radii_that_certify_little(rng):
    model = models.HamiltonianCNN((*SPACE, 1), classes=3, widths=(4,), steps=1)
    radius = certified_radius(model, rng.uniform(0, 255, size=(5, *SPACE, 1)))
    assert np.all((radius >= 0) & (radius < 10))


def test_reasons_are_given(rng):
    model = models.ParabolicCNN((*SPACE, 1), classes=3, widths=(4,), activation="gelu")
    assert lipschitz_bound(model) is None
    with pytest.raises(ValueError, match=r"block_1 has no Lipschitz bound.*Received: activation=gelu"):
        certified_radius(model, rng.normal(size=(2, *SPACE, 1)))
    features = models.ParabolicCNN((*SPACE, 1), include_top=False, widths=(4,))
    with pytest.raises(ValueError, match=r"must end with a dense classifier. Received: model=parabolic_cnn"):
        certified_radius(features, rng.normal(size=(2, *SPACE, 1)))


def test_mixed_precision_takes_its_rounding_away(rng):
    x = rng.uniform(0, 255, size=(20, *SPACE, 1)).astype("float32")
    model = models.ParabolicCNN((*SPACE, 1), classes=3, widths=(4,), provable=True)
    keras.config.set_dtype_policy("mixed_bfloat16")
    mixed = models.ParabolicCNN((*SPACE, 1), classes=3, widths=(4,), provable=True)
    mixed.set_weights(model.get_weights())
    assert np.all(certified_radius(mixed, x) < certified_radius(model, x) + 1e-9)


def test_a_standardization_inside_a_network_is_refused(rng):
    inside = [keras.layers.Dropout(0.1), layers.Standardization(), keras.layers.Flatten(), keras.layers.Dense(3)]
    model = keras.Sequential([keras.Input((*SPACE, 1)), *inside])
    assert lipschitz_bound(model) > 0
    with pytest.raises(ValueError, match=r"beginning of a network. Received: model=.* with a Standardization inside"):
        certified_radius(model, rng.normal(size=(2, *SPACE, 1)))


def test_a_derived_classifier_is_refused_even_if_it_states_a_bound(rng):
    class Other(layers.NormalizedDense):
        def call(self, y):
            return super().call(y)[:, ::-1]

        def lipschitz_bound(self, input_shape):
            return 1.0

    model = keras.Sequential([keras.Input((*SPACE, 1)), keras.layers.Flatten(), Other(3)])
    assert np.isclose(lipschitz_bound(model), 1.0)
    with pytest.raises(ValueError, match=r"must end with a dense classifier. Received: model="):
        certified_radius(model, rng.normal(size=(2, *SPACE, 1)))


def linear(units, activation="softmax"):
    return keras.Sequential([keras.Input((*SPACE, 1)), keras.layers.Flatten(), keras.layers.Dense(units, activation)])


def test_radius_of_a_linear_classifier_is_the_distance_to_the_next_class(rng):
    model = linear(7)
    kernel, bias = rng.normal(size=(64, 7)), rng.normal(size=7)
    model.set_weights([kernel, bias])
    x = rng.normal(size=(50, *SPACE, 1))
    logits = x.reshape(50, -1) @ kernel + bias
    columns = np.linalg.norm(kernel[:, :, None] - kernel[:, None, :], axis=0) + np.eye(7)
    best = logits.argmax(-1)
    margins = logits.max(-1)[:, None] - logits
    margins[np.arange(50), best] = np.inf
    true = np.min(margins / columns[best], axis=-1)
    found = certified_radius(model, x)
    assert np.all(found <= true)
    assert np.all(found >= 0.999 * true - 1e-3)


def test_a_single_output_tells_two_classes_apart(rng):
    kernel, bias = rng.normal(size=(64, 1)), np.array([0.3])
    x = rng.normal(size=(20, *SPACE, 1))
    true = np.abs(x.reshape(20, -1) @ kernel + bias)[:, 0] / np.linalg.norm(kernel)
    for activation in ("sigmoid", None):
        model = linear(1, activation)
        model.set_weights([kernel, bias])
        found = certified_radius(model, x)
        assert np.all(found <= true)
        assert np.all(found >= 0.999 * true - 1e-3)
    # The softmax of one number is 1.
    assert np.array_equal(certified_radius(linear(1), x), np.full(20, np.inf))


def test_classifiers_without_one_predicted_class_are_refused(rng):
    x = rng.normal(size=(2, *SPACE, 1))
    maps = keras.Sequential([keras.Input((*SPACE, 1)), keras.layers.Dense(3)])
    for model, message in [
        (linear(3, "sigmoid"), "Received: model=.*, activation=sigmoid"),
        (linear(1, "relu"), "Received: model=.*, activation=relu"),
        (maps, "must end with a dense classifier. Received: model="),
    ]:
        with pytest.raises(ValueError, match=message):
            certified_radius(model, x)
    quantized = linear(3)
    quantized.layers[-1].quantize("int8")
    with pytest.raises(ValueError, match="has no Lipschitz bound: nothing is known about quantized layers"):
        certified_radius(quantized, x)


def test_products_on_tensor_cores_leave_smaller_radii(rng, monkeypatch):
    model, x = linear(3), rng.normal(size=(20, *SPACE, 1))
    exact = certified_radius(model, x)
    monkeypatch.setattr(certificates, "unit_roundoff", lambda dtype, products=True: 2.0**-10)
    # 32 times 2^-10, times the length 8 of the features, if not more.
    assert np.all(certified_radius(model, x) <= np.maximum(exact - 0.18, 0))


def test_what_rounding_hides_is_not_certified(rng):
    """Where float32 predicts another class than exact arithmetic, or may do so nearby, there is no radius."""
    model = models.ParabolicCNN((*SPACE, 1), classes=5, widths=(2,), steps=1, provable=True)
    x = rng.normal(size=(100, *SPACE, 1))
    assert np.all(certified_radius(model, x) > 0)
    # Digits that all entries share are lost by standardisation, and large ones overflow.
    for moved in (x + 1e7, 1e25 * x):
        assert not certified_radius(model, moved).any()
    # Logits that differ by less than their rounding.
    model.layers[-1].bias.assign(np.full(5, 1e8))
    assert not certified_radius(model, x).any()
    with pytest.raises(ValueError, match=r"x must be finite. Received: x with 2 entries"):
        certified_radius(model, np.where(np.arange(64).reshape(1, *SPACE, 1) < 2, np.nan, x[:1]))


def test_what_layers_inside_lose_is_not_certified(rng):
    """Features that a bias moves far away and the next layer moves back have lost their last digits."""
    inputs = keras.Input((*SPACE, 2))
    there, back = (layers.BoundedConnector(2, pool_size=1) for _ in range(2))
    outputs = layers.NormalizedDense(3)(keras.layers.Flatten()(back(there(inputs))))
    model = keras.Model(inputs, outputs)
    x = rng.uniform(0, 1, (20, *SPACE, 2))
    for layer in (there, back):
        layer.kernel.assign(np.eye(2)[None, None])
    radii = {}
    for size in (0.0, 1e2, 1e5):
        there.bias.assign(np.full(2, size))
        back.bias.assign(np.full(2, -size))
        radii[size] = certified_radius(model, x)
    assert np.all(radii[0.0] > 0)
    assert np.all(radii[1e2] < radii[0.0])
    assert not radii[1e5].any()


@pytest.mark.parametrize("steps", [3, 300])
def test_the_allowance_covers_the_rounding_errors_of_many_steps(steps, rng):
    block, exact = (
        layers.HamiltonianBlock(steps, step_size=0.5 / steps, normalization=None, dtype=dtype)
        for dtype in ("float32", "float64")
    )
    y = rng.normal(size=(4, 8, 8, 4)).astype("float32")
    outputs = np.asarray(block(y), "float64")
    exact.build(y.shape)
    exact.set_weights(block.get_weights())
    lengths = np.stack([np.linalg.norm(x.reshape(4, -1), axis=1) for x in (y, outputs)], axis=1)
    allowance = certificates._rounding_errors([block], lengths, [block_bounds(block)[1]])
    errors = np.linalg.norm((outputs - np.asarray(exact(y))).reshape(4, -1), axis=1)
    assert np.all(errors < allowance / 2)
    assert np.all(errors > 0)
