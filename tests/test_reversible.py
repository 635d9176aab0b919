"""Any Keras layers, run backwards: gradients, statistics and random numbers of the same layers without the wrapper."""

import contextlib
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers import QUICK_JAX
from helpers import reversible_cases as cases
from helpers.reversible_cases import classifier, dense, with_everything

from keras_pdecnn import export
from keras_pdecnn.layers import AffineCoupling, HamiltonianBlock, Reversible, ReversibleSequence, SecondOrderBlock

L = keras.layers
HELPERS = Path(__file__).parent / "helpers"
OTHERS = [
    pytest.param(name, marks=pytest.mark.skipif(not importlib.util.find_spec(name), reason=f"{name} is not installed"))
    for name in ("jax", "torch")
]


def gap(a, b):
    return np.max(np.abs(np.asarray(a, float) - np.asarray(b, float)))


# Gradients.


QUICK = ("affine", "attention", "shared")  # what takes about a second to trace


@pytest.mark.parametrize(
    ("case", "way"),
    [
        (case, way) if way == "graph" and case in QUICK else pytest.param(case, way, marks=pytest.mark.slow)
        for case in cases.CASES
        for way in cases.WAYS["tensorflow"]
    ],
)
def test_gradients_statistics_and_random_numbers(case, way, float64):
    keras.config.set_floatx("float64")
    expected = cases.three_steps(case, way, plain=True)
    assert len(expected) > 12
    assert cases.error(cases.three_steps(case, way), expected) < 1e-10


@pytest.mark.slow
@pytest.mark.parametrize("backend", OTHERS)
def test_gradients_under_other_backends(backend):
    environment = {**os.environ, "KERAS_BACKEND": backend, "JAX_ENABLE_X64": "1", **QUICK_JAX}
    environment["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parents[1]), environment.get("PYTHONPATH", "")])
    command = [sys.executable, str(HELPERS / "reversible_cases.py")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    errors = dict(line.split() for line in done.stdout.splitlines())
    assert set(errors) == {"fit"} | {f"{case}/{way}" for case in cases.CASES for way in cases.ways(case, backend)}
    assert float(errors["fit"]) < 1e-12
    assert all(float(value) < 1e-10 for value in errors.values()), errors


@pytest.mark.parametrize("jit", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_ten_steps_of_fit_give_the_statistics_of_the_plain_coupling(jit, float64):
    keras.config.set_floatx("float64")
    assert cases.gap(*(cases.ten_steps_of_fit(plain, jit) for plain in (False, True))) < 1e-12


def test_two_backward_passes_through_one_tape_and_a_second_derivative(float64, rng):
    sequence = ReversibleSequence([Reversible(dense(), dense()), Reversible(L.Dropout(0.5, seed=1), dense())])
    x = tf.constant(rng.normal(size=(3, 4)))
    sequence.build(x.shape)

    def derivatives():
        sequence.layers[1].f.seed_generator.state.assign([1, 0])
        with tf.GradientTape() as outer:
            outer.watch(x)
            with tf.GradientTape(persistent=True) as inner:
                inner.watch(x)
                loss = tf.reduce_sum(sequence(x, training=True) ** 2)
            first, again = inner.gradient(loss, x), inner.gradient(loss, x)
            slope = tf.reduce_sum(first**2)
        return first, again, outer.gradient(slope, x)

    first, again, second = derivatives()
    with sequence.plain_operations():
        expected = derivatives()
    assert gap(first, again) == 0
    assert gap(first, expected[0]) < 1e-12
    assert gap(second, expected[2]) < 1e-10


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision(policy, rng):
    x = tf.constant(rng.normal(size=(3, 4)), "float32")
    gradients = []
    for name in (policy, "float32"):
        keras.config.set_dtype_policy(name)
        keras.utils.set_random_seed(1)
        normalized = [keras.Sequential([dense(), L.BatchNormalization()]) for _ in range(2)]
        sequence = ReversibleSequence([Reversible(layer, dense()) for layer in normalized])
        sequence.build(x.shape)
        with tf.GradientTape() as tape:
            y = sequence(x, training=True)
            loss = tf.reduce_sum(y**2)
        assert y.dtype == tf.float32
        # The state keeps its digits, and the layers get the compute type.
        gradients.append(tape.gradient(loss, [v.value for v in sequence.trainable_variables]))
    assert all(gradient.dtype == tf.float32 for gradient in gradients[0])
    assert cases.error(gradients[0][-2:], gradients[1][-2:]) < 0.1


def test_dropout_is_repeated_under_mixed_precision(rng):
    keras.config.set_dtype_policy("mixed_bfloat16")
    x = tf.constant(rng.normal(size=(3, 4)), "float32")
    sequence = ReversibleSequence([Reversible(with_everything(2, i), dense()) for i in range(2)])
    sequence.build(x.shape)
    initial, gradients = [v.numpy() for v in sequence.variables], []  # the states of random numbers are no weights
    for plain in (False, True):
        for variable, value in zip(sequence.variables, initial, strict=True):
            variable.assign(value)
        with sequence.plain_operations() if plain else contextlib.nullcontext(), tf.GradientTape() as tape:
            loss = tf.reduce_sum(sequence(x, training=True) ** 2)
        gradients.append(tape.gradient(loss, [v.value for v in sequence.trainable_variables]))
    # Other random numbers would change the gradients by a factor.
    assert cases.error(*gradients) < 0.03


@pytest.mark.slow
def test_two_devices_train_as_one(float64, two_devices, rng):
    keras.config.set_floatx("float64")
    x, y = rng.normal(size=(16, 6, 4)), rng.integers(0, 3, 16)
    results = []
    for plain in (False, True):
        keras.utils.set_random_seed(4)
        with two_devices.scope():
            model = classifier()
            model.compile(keras.optimizers.SGD(0.1), "sparse_categorical_crossentropy")
        model.get_layer("reversible")._plain = plain
        model.fit(x, y, batch_size=8, shuffle=False, verbose=0)
        results.append(model.get_weights())
    assert max(map(gap, *results)) < 1e-10


@pytest.mark.slow
@pytest.mark.skipif(not importlib.util.find_spec("jax"), reason="jax is not installed")
def test_memory_under_jax_does_not_grow_with_the_number_of_couplings():
    environment = {**os.environ, "KERAS_BACKEND": "jax"}
    environment["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parents[1]), environment.get("PYTHONPATH", "")])
    sizes = []
    for depth in (4, 16):
        command = [sys.executable, str(HELPERS / "reversible_memory.py"), "reversible", str(depth), "1"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-3000:]
        sizes.append(json.loads(done.stdout.splitlines()[-1])["MB"])
    assert sizes[1] < 1.1 * sizes[0]


# Inverse.


@pytest.mark.parametrize("axis", [1, 2, -1])
def test_inverse(axis, float64, rng):
    y = rng.normal(size=(2, 6, 4))
    size = 2 if axis != 1 else 4
    for g in (None, keras.Sequential([dense(size), L.BatchNormalization()])):
        layer = Reversible(dense(size), g, split_axis=axis)
        assert gap(layer(layer.inverse(y)), y) < 1e-14


def test_inverse_of_a_sequence(float64, rng):
    x = rng.normal(size=(2, 4, 4, 4))
    layer, _ = cases.kinds()
    assert gap(layer.inverse(layer(x)), x) < 1e-12


# Determinants.


def test_determinant_of_affine_couplings(float64, rng):
    layer = ReversibleSequence([AffineCoupling(dense(4), bound=b) for b in (1.0, 2.0)] + [Reversible(dense())])
    x = tf.constant(rng.normal(size=(3, 4)))
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(x)
        y, logarithm = layer.with_log_determinant(x)
    _, expected = np.linalg.slogdet(tape.batch_jacobian(y, x, experimental_use_pfor=False))
    assert gap(logarithm, expected) < 1e-12
    assert gap(layer.inverse(y), x) < 1e-12
    layer = ReversibleSequence([HamiltonianBlock(2), Reversible(dense())])
    assert gap(layer.with_log_determinant(rng.normal(size=(3, 5, 4)))[1], np.zeros(3)) == 0


def test_an_unknown_determinant_is_refused():
    class Double(L.Layer):
        def call(self, x):
            return 2 * x

        def inverse(self, y):
            return y / 2

    layer = ReversibleSequence([Double()])
    assert gap(layer.inverse(layer(np.ones((1, 4)))), 1) == 0
    with pytest.raises(ValueError, match="preserves_volume"):
        layer.with_log_determinant(np.ones((1, 4)))


# Files and copies.


def test_files_and_copies(tmp_path, rng):
    common = with_everything()
    repeated = Reversible(common, common)
    layer = ReversibleSequence([repeated, Reversible(dense(), split_axis=-1), AffineCoupling(dense(4)), repeated])
    model = keras.Sequential([keras.Input((4,)), layer])
    model.save(tmp_path / "model.keras")
    loaded, x = keras.saving.load_model(tmp_path / "model.keras"), rng.normal(size=(5, 4))
    assert gap(loaded(x), model(x)) == 0
    assert len(loaded.variables) == len(model.variables)
    copy = keras.models.clone_model(model)
    assert [v.shape for v in copy.variables] == [v.shape for v in model.variables]
    copy.set_weights(model.get_weights())
    assert gap(copy(x), model(x)) == 0
    assert layer.get_config()["order"] == [0, 1, 2, 0]


@pytest.mark.parametrize(
    "make",
    [
        lambda **settings: Reversible(with_everything(), dense(), **settings),
        lambda **settings: AffineCoupling(with_everything(4), **settings),
        lambda **settings: ReversibleSequence([Reversible(with_everything()), AffineCoupling(dense(4))], **settings),
    ],
    ids=["Reversible", "AffineCoupling", "ReversibleSequence"],
)
def test_layers_inside_a_frozen_one_are_frozen(make, rng):
    layer = make(trainable=False)
    model = keras.Sequential([keras.Input((4,)), layer])
    before = [weight.numpy() for weight in model.weights]
    model(rng.normal(size=(5, 4)), training=True)
    assert model.trainable_variables == []
    assert all(map(np.array_equal, before, [weight.numpy() for weight in model.weights]))  # the statistics, too
    layer.trainable = True
    assert len(model.trainable_variables) >= 4


@pytest.mark.slow
@pytest.mark.parametrize("how", ["package", "keras"])
def test_saved_model_has_the_gradient_of_its_input(how, tmp_path, rng):
    model = classifier()
    x = tf.constant(rng.normal(size=(3, 6, 4)), "float32")
    if how == "package":
        folder = export.savedmodel(model, tmp_path / "model")
        exported = tf.saved_model.load(str(folder))
        serve = exported.signatures["serving_default"]
        (name,) = serve.structured_input_signature[1]
        call = lambda x: serve(**{name: x})["probabilities"]  # noqa: E731
    else:
        model.export(tmp_path / "model", verbose=False)
        exported = tf.saved_model.load(str(tmp_path / "model"))
        call = exported.serve
    gradients = []
    for function in (call, lambda x: model(x, training=False)):
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = tf.reduce_sum(function(x)[:, 0])
        gradients.append(tape.gradient(loss, x))
    assert gap(*gradients) < 1e-6


# Arguments.


def test_masks_and_other_arguments_reach_the_layers_that_have_them(rng):
    class Scale(L.Layer):
        def __init__(self):
            super().__init__()
            self.supports_masking = True

        def call(self, x, factor=1.0, mask=None):
            return x * factor if mask is None else x * factor * keras.ops.cast(mask, x.dtype)[..., None]

    x, mask = rng.normal(size=(2, 3, 4)).astype("float32"), np.array([[1, 1, 0], [1, 0, 0]], bool)
    y = Reversible(Scale(), L.Identity())(x, mask=mask, factor=3.0)
    expected = x[..., :2] + 3 * x[..., 2:] * mask[..., None]
    assert gap(y, np.concatenate([expected, x[..., 2:] + expected], axis=-1)) < 1e-6
    tokens = np.array([[1, 2, 0], [3, 0, 0]])
    model = keras.Sequential([L.Embedding(5, 4, mask_zero=True), ReversibleSequence([Reversible(Scale())])])
    z = model.layers[0](tokens)
    assert gap(model(tokens)[..., 2:], z[..., :2] + z[..., 2:] * mask[..., None]) < 1e-6
    with pytest.raises(ValueError, match=r"No layer in .* has an argument facto"):
        Reversible(Scale())(x, facto=3.0)


def test_losses_count_once(rng):
    x = rng.normal(size=(3, 4)).astype("float32")
    layer = ReversibleSequence([Reversible(dense(activity_regularizer="l2"), L.ActivityRegularization(l1=1.0))])
    layer(x)
    values = sorted(float(loss) for loss in layer.losses)
    with layer.plain_operations():
        layer(x)
    assert values == pytest.approx(sorted(float(loss) for loss in layer.losses))
    assert len(values) == 2


class Drawing(L.Layer):
    """Adds random numbers that nothing repeats."""

    def __init__(self, draw, **kwargs):
        super().__init__(**kwargs)
        self.draw = draw

    def call(self, x):
        return x + self.draw(keras.ops.shape(x))


class Counting(L.Layer):
    """Multiplies by 1 plus the number of its calls, a variable of its own or of another layer, or an attribute."""

    def __init__(self, where, **kwargs):
        super().__init__(**kwargs)
        self.where, self.calls = where, 0
        other = [L.Layer()]  # Keras tracks no layers in a closure
        owner = self if where == "own" else other[0]
        counter = owner.add_weight(shape=(), initializer="zeros", trainable=False)
        self.counter = counter if where == "own" else lambda: counter

    def call(self, x):
        if self.where == "attribute":
            self.calls += 1
            return x + x * self.calls
        counter = self.counter if self.where == "own" else self.counter()
        counter.assign(counter + 1)
        return x + x * counter


def test_state_in_variables_of_the_layer_is_repeated(rng):
    sequence = ReversibleSequence([Reversible(Counting("own")) for _ in range(2)])
    x = tf.constant(rng.normal(size=(3, 4)), "float32")
    sequence.build(x.shape)
    assert [float(layer.f.counter) for layer in sequence.layers] == [0, 0]  # the check at build time has no effect
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = sequence(x)
    assert gap(tape.gradient(y, x), np.ones((3, 4)) * [3, 3, 7, 7]) < 1e-5
    assert [float(layer.f.counter) for layer in sequence.layers] == [1, 1]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Reversible(Counting("attribute")), "same output when it is called again"),
        (lambda: Reversible(Counting("other")), "same output when it is called again"),
        (lambda: Reversible(dense(3)), "must keep the shape"),
        (lambda: AffineCoupling(dense(2)), "must have an output of shape"),
        (lambda: Reversible(dense(), L.Flatten()), None),
        (lambda: Reversible(Drawing(keras.random.normal)), "same output when it is called again"),
        (lambda: Reversible(Drawing(tf.random.normal)), "same output when it is called again"),
        (lambda: ReversibleSequence([Reversible(dense()), Reversible(dense(4))]), "must keep the shape"),
        (lambda: Reversible(dense(), split_axis=2), "other than the batch"),
        (lambda: Reversible(dense(), split_axis=-2), "other than the batch"),
    ],
)
def test_wrong_layers_are_refused_when_they_are_built(make, message):
    layer = make()
    if message is None:
        layer.build((None, 4))
        return
    with pytest.raises(ValueError, match=message):
        layer.build((None, 4))


@pytest.mark.parametrize("shape", [(None, 5), (None, None)])
def test_odd_sizes_are_refused_when_the_layer_is_built(shape):
    with pytest.raises(ValueError, match=r"known and\s+even.*Received: input_shape"):
        Reversible(dense()).build(shape)


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: Reversible("dense"), "f"),
        (lambda: Reversible(dense(), g=3), "g"),
        (lambda: Reversible(dense(), split_axis=0), "split_axis"),
        (lambda: Reversible(dense(), split_axis=1.0), "split_axis"),
        (lambda: Reversible(dense(), split_axis=True), "split_axis"),
        (lambda: Reversible(dense(), dtype="int32"), "dtype"),
        (lambda: AffineCoupling(dense(), bound=0), "bound"),
        (lambda: ReversibleSequence([]), "layers"),
        (lambda: ReversibleSequence(dense()), "layers"),
        (lambda: ReversibleSequence([dense()]), "dense"),
        (lambda: ReversibleSequence([HamiltonianBlock(2), SecondOrderBlock(2)]), "second_order_block"),
    ],
)
def test_wrong_arguments_are_refused(make, name):
    with pytest.raises(ValueError, match=f"Received: .*{name}"):
        make()
