import inspect
import pydoc
import re
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_pdecnn import layers, models, ops
from keras_pdecnn.models.certified import CertifiedParts

ARCHITECTURES = models.ARCHITECTURES
SPACES = [(9,), (8, 8), (4, 6, 5)]
SMALL = {"classes": 3, "widths": (4, 6), "steps": 2}

every_architecture = pytest.mark.parametrize("architecture", ARCHITECTURES)
every_space = pytest.mark.parametrize("space", SPACES, ids=lambda s: f"{len(s)}D")


def small(architecture="hamiltonian", input_shape=(8, 8, 3), **settings):
    return ARCHITECTURES[architecture](input_shape, **{**SMALL, **settings})


def gap(a, b):
    return np.max(np.abs(keras.ops.convert_to_numpy(a) - keras.ops.convert_to_numpy(b)))


@pytest.fixture
def images(rng):
    return rng.uniform(0, 255, size=(4, 8, 8, 3)).astype("float32")


@pytest.fixture
def labels():
    return np.array([0, 1, 2, 1])


def fit(model, x, y, epochs=1, **settings):
    model.compile(keras.optimizers.SGD(0.1, momentum=0.9), "sparse_categorical_crossentropy", **settings)
    return model.fit(x, y, epochs=epochs, shuffle=False, verbose=0).history["loss"]


# The architecture.

FIGURES = {
    "stl10": ((96, 96, 3), {"widths": (16, 32, 64, 128), "classes": 10}),
    "cifar10": ((32, 32, 3), {"classes": 10}),
    "cifar100": ((32, 32, 3), {"widths": (32, 64, 128), "head_width": 256, "classes": 100}),
}
COUNTS = [
    *(("stl10", architecture, 618_554) for architecture in ("parabolic", "second_order")),
    *(("cifar10", architecture, 502_570) for architecture in ("parabolic", "second_order")),
    *(("cifar100", architecture, 652_484) for architecture in ("parabolic", "second_order")),
    ("stl10", "hamiltonian", 324_794),
    ("cifar10", "hamiltonian", 264_106),
    ("cifar100", "hamiltonian", 362_180),
]


@pytest.mark.parametrize(("data", "architecture", "count"), COUNTS)
def test_number_of_weights_is_the_paper_s(data, architecture, count):
    input_shape, settings = FIGURES[data]
    model = ARCHITECTURES[architecture](input_shape, **settings)
    assert sum(int(np.prod(weight.shape)) for weight in model.trainable_weights) == count


@every_space
@every_architecture
def test_output_is_a_distribution_over_the_classes(rng, architecture, space):
    model = small(architecture, (*space, 2))
    probabilities = model(rng.uniform(0, 255, size=(5, *space, 2)))
    assert isinstance(model, models.PDEModel)
    assert model.output_shape == (None, 3)
    assert gap(keras.ops.sum(probabilities, axis=-1), np.ones(5)) < 1e-6


def test_layers_in_order():
    names = ["input", "standardization", "opening", "block_1", "connector_1", "block_2", "connector_2"]
    model = small(name="network")
    assert model.name == "network"
    assert [layer.name for layer in model.layers] == [*names, "average", "classifier"]
    assert [block.name for block in model.blocks] == ["block_1", "block_2"]


def test_shapes_from_layer_to_layer():
    model = small(widths=(4, 6, 8), head_width=10)
    outputs = {layer.name: layer.output.shape[1:] for layer in model.layers}
    assert outputs["opening"] == outputs["block_1"] == (8, 8, 4)
    assert outputs["connector_1"] == outputs["block_2"] == (4, 4, 6)
    assert outputs["connector_2"] == outputs["block_3"] == (2, 2, 8)
    assert outputs["connector_3"] == (2, 2, 10)


@pytest.mark.parametrize(
    ("pool", "space"), [(2, (2, 2)), (1, (8, 8)), ((1, 2, 1), (4, 4)), ([2, 2, 2], (1, 1))], ids=str
)
def test_pooling_of_each_block(pool, space):
    model = small(widths=(4, 6, 8), pool=pool)
    assert model.get_layer("connector_3").output.shape[1:-1] == space


def test_pooling_that_leaves_nothing():
    with pytest.raises(ValueError, match=r"2 x 8 leaves nothing of an axis with 8 pixels\. .*pool=\(2, 8\)"):
        small(pool=(2, 8))
    with pytest.raises(ValueError, match=r"Received: pool=0"):
        small(pool=0)
    with pytest.raises(ValueError, match=r"one per block \(2\)\. Received: pool=\(2, 2, 2\)"):
        small(pool=(2, 2, 2))


def test_model_is_the_composition_of_its_layers(images, randomize):
    model = randomize(small())
    y = images
    for layer in model.layers[1:]:
        y = layer(y)
    assert gap(model(images), y) < 1e-6


def test_one_value_per_block():
    model = small(steps=(1, 3), step_size=[0.5, 0.25], time_smoothness=1e-3)
    assert [block.steps for block in model.blocks] == [1, 3]
    assert [block.step_size for block in model.blocks] == [0.5, 0.25]
    assert [block.kernel_regularizer.step_size for block in model.blocks] == [0.5, 0.25]


def test_block_arguments_reach_every_block():
    model = small(kernel_size=5, filters=3, activation="tanh", padding="periodic", backprop="stored")
    for block in model.blocks:
        assert block.kernel.shape[-4:-2] == (5, 5)
        assert (block.filters, block.activation, block.padding) == (3, keras.activations.tanh, "periodic")
        assert block.backprop == "stored"


@pytest.mark.parametrize(("pooling", "shape"), [(None, (None, 4, 4, 6)), ("avg", (None, 6)), ("max", (None, 6))])
def test_without_top(pooling, shape):
    assert small(include_top=False, classes=None, pooling=pooling).output_shape == shape


def test_logits(images, randomize):
    model = randomize(small(classifier_activation=None))
    same = small()
    same.set_weights(model.get_weights())
    assert gap(keras.ops.softmax(model(images)), same(images)) < 1e-6


def test_every_example_is_standardised(images):
    model = small()
    assert gap(model(2.0 * images + 7.0), model(images)) < 1e-5
    plain = small(include_preprocessing=False, classifier_activation=None)
    assert gap(plain(2.0 * images + 7.0), plain(images)) > 1e-3


def test_integer_pixels(images):
    model, pixels = small(), images.astype("uint8")
    assert gap(model(pixels), model(pixels.astype("float32"))) == 0
    assert gap(model.predict(pixels, verbose=0), model(pixels)) < 1e-6


@pytest.mark.parametrize("input_shape", [[8, 8, 3], np.array([8, 8, 3]), tf.TensorShape([8, 8, 3])], ids=type)
def test_input_shape_may_come_from_an_array(input_shape):
    assert small(input_shape=input_shape).input_shape == (None, 8, 8, 3)


@pytest.mark.parametrize("size", [1, 3, 8])
def test_images_of_a_size_known_at_run_time(rng, size):
    model, images = small(input_shape=(None, None, 3)), rng.uniform(0, 255, size=(2, size, size, 3))
    probabilities = model(images)
    assert np.all(np.isfinite(probabilities))
    assert gap(model.predict(images, verbose=0), probabilities) < 1e-6


@every_architecture
def test_images_known_at_run_time_agree_with_a_fixed_size(images, randomize, architecture):
    fixed = randomize(small(architecture, (8, 8, 3)))
    free = small(architecture, (None, None, 3))
    free.set_weights(fixed.get_weights())
    compiled = tf.function(free, input_signature=[tf.TensorSpec((None, None, None, 3))])
    assert gap(compiled(images), fixed(images)) < 1e-5


@every_architecture
def test_no_example_and_one_example(images, architecture):
    model = small(architecture)
    assert model(images[:0]).shape == (0, 3)
    assert gap(model(images[:1]), model(images)[:1]) < 1e-5


@pytest.mark.parametrize("provable", [False, True])
@every_space
def test_channels_may_come_first(rng, randomize, space, provable):
    images = rng.uniform(0, 255, size=(4, *space, 3)).astype("float32")
    moved = np.moveaxis(images, -1, 1)
    for top in ({}, *({"include_top": False, "pooling": pooling} for pooling in (None, "avg", "max"))):
        last = randomize(small(input_shape=images.shape[1:], provable=provable, data_format="channels_last", **top))
        keras.config.set_image_data_format("channels_first")
        first = small(input_shape=moved.shape[1:], provable=provable, **top)
        same = small(input_shape=images.shape[1:], provable=provable, data_format="channels_last", **top)
        keras.config.set_image_data_format("channels_last")
        assert [(w.path, w.shape) for w in first.weights] == [(w.path, w.shape) for w in last.weights]
        for model in (first, same):
            model.set_weights(last.get_weights())
        expected = np.asarray(last(images))
        assert gap(same(images), expected) == 0
        maps = expected.ndim > 2
        assert gap(first(moved), np.moveaxis(expected, -1, 1) if maps else expected) < 1e-5 * np.max(np.abs(expected))
        assert first.output_shape == (None, *(np.moveaxis(expected, -1, 1) if maps else expected).shape[1:])


def test_a_model_with_the_channels_first_is_saved(tmp_path, images, randomize):
    model = randomize(small(input_shape=(3, None, None), data_format="channels_first", include_top=False))
    model.save(tmp_path / "model.keras")
    moved = np.moveaxis(images, -1, 1)
    assert gap(models.load_model(tmp_path / "model.keras")(moved), model(moved)) == 0
    assert gap(keras.models.clone_model(model)(moved).shape, model(moved).shape) == 0


def test_network_of_width_one(rng):
    model = models.ParabolicCNN((4, 4, 1), classes=2, widths=(1,), steps=1)
    assert model(rng.normal(size=(2, 4, 4, 1))).shape == (2, 2)


def test_summary(capsys):
    small().summary()
    assert "HamiltonianBlock" in capsys.readouterr().out


# Regularisation.


def smoothness(theta, alpha, h):
    slope = np.diff(theta.numpy().astype("float64"), axis=0) / h
    return alpha * h * np.sum(np.sqrt(slope**2 + 1e-3))


def decay(weight, alpha, factor=1.0):
    return alpha / 2 * factor * np.sum(weight.numpy().astype("float64") ** 2)


@pytest.mark.parametrize(("alpha1", "alpha2"), [(3e-3, 0.0), (0.0, 2e-2), (3e-3, 2e-2)])
@every_architecture
def test_losses_are_the_regulariser(randomize, architecture, alpha1, alpha2):
    model = randomize(small(architecture, time_smoothness=alpha1, weight_decay=alpha2, step_size=(0.5, 0.25)))
    expected = 0.0
    for block in model.blocks:
        expected += decay(block.kernel, alpha2, block.step_size)
        expected += sum(smoothness(weight, alpha1, block.step_size) for weight in block.weights)
    for name in ("opening", "connector_1", "connector_2"):
        expected += decay(model.get_layer(name).kernel, alpha2)
    classifier = model.get_layer("classifier")
    expected += decay(classifier.kernel, alpha2) + decay(classifier.bias, alpha2)
    assert abs(np.sum(model.losses) - expected) <= 1e-5 * expected


def test_no_regularisation_by_default():
    assert small().losses == []


def test_losses_are_part_of_training(images, labels):
    model = small(weight_decay=10.0)
    penalty = np.sum(model.losses)
    assert fit(model, images, labels, run_eagerly=True)[0] > penalty > 1.0


def test_frozen_block_has_no_loss_and_no_update(images, labels):
    model = small(weight_decay=1e-3)
    count = len(model.losses)
    model.blocks[0].trainable = False
    before = model.blocks[0].get_weights()
    fit(model, images, labels, run_eagerly=True)
    assert len(model.losses) == count - 1
    for old, new in zip(before, model.blocks[0].get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


@every_architecture
def test_box_holds_after_training(images, labels, architecture):
    model = small(architecture, box=0.05)
    fit(model, images, labels, run_eagerly=True)
    assert all(np.max(np.abs(block.kernel)) == np.float32(0.05) for block in model.blocks)


# Training.


@pytest.mark.parametrize(
    "architecture",
    ["hamiltonian", *(pytest.param(a, marks=pytest.mark.slow) for a in ARCHITECTURES if a != "hamiltonian")],
)
def test_training_lowers_the_loss(images, labels, architecture):
    losses = fit(small(architecture), images, labels, epochs=6)
    assert losses[-1] < 0.9 * losses[0]


def test_training_step_is_traced_once(images, labels):
    traces = []

    def loss(target, output):
        traces.append(output)
        return keras.losses.sparse_categorical_crossentropy(target, output)

    model = small(widths=(4,), steps=1)
    metrics = [keras.metrics.SparseCategoricalAccuracy()]
    model.compile(keras.optimizers.SGD(0.1, momentum=0.9), loss, metrics=metrics, jit_compile=False)
    model.fit(images, labels, verbose=0)
    assert len(traces) == 1


def test_arrays_are_read_without_a_thread_that_tunes(images, labels, monkeypatch):
    """The end of an epoch would wait for it; the dataset of a user stays as it is."""
    tuned, iterate = [], tf.data.Dataset.__iter__

    def record(dataset):
        tuned.append(dataset.options().autotune.enabled)
        return iterate(dataset)

    model = small(widths=(4,), steps=1)
    model.compile("sgd", "sparse_categorical_crossentropy", run_eagerly=True)
    monkeypatch.setattr(tf.data.Dataset, "__iter__", record)
    model.fit(images, labels, epochs=2, verbose=0)
    model.evaluate(images, labels, verbose=0)
    assert set(tuned) == {False}
    tuned.clear()
    model.fit(tf.data.Dataset.from_tensors((images, labels)), verbose=0)
    assert set(tuned) == {None}


@pytest.mark.slow
@every_architecture
def test_training_is_the_same_however_it_is_compiled(images, labels, architecture):
    graph = small(architecture, widths=(4,), time_smoothness=1e-3)
    start = graph.get_weights()
    fit(graph, images, labels, jit_compile=False)
    for settings in ({"run_eagerly": True}, {"jit_compile": True}):
        other = small(architecture, widths=(4,), time_smoothness=1e-3)
        other.set_weights(start)
        fit(other, images, labels, **settings)
        for a, b in zip(graph.get_weights(), other.get_weights(), strict=True):
            assert np.linalg.norm(a - b) <= 1e-4 * np.linalg.norm(a)


@pytest.mark.slow
@pytest.mark.parametrize("settings", [{"jit_compile": False}, {"jit_compile": True}], ids=str)
def test_training_on_images_of_unknown_size(images, labels, settings):
    losses = fit(small(input_shape=(None, None, 3), widths=(4,)), images, labels, epochs=6, **settings)
    assert losses[-1] < 0.95 * losses[0]


@pytest.mark.slow
@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
@pytest.mark.parametrize("architecture", ["hamiltonian", "residual"])
def test_training_under_a_mixed_policy(images, labels, policy, architecture):
    keras.config.set_dtype_policy(policy)
    model = small(architecture)
    losses = fit(model, images, labels, epochs=6)
    assert losses[-1] < 0.9 * losses[0]
    assert {weight.dtype for weight in model.trainable_weights} == {"float32"}
    assert model(images).dtype == "float32"
    assert model.get_layer("average").output.dtype == "float32"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("space", "policy"),  # a convolution on one axis is one on two
    [((9,), "float32"), *(((4, 6, 5), policy) for policy in ("float32", "mixed_bfloat16", "mixed_float16"))],
)
def test_training_on_signals_and_video(rng, labels, space, policy):
    keras.config.set_dtype_policy(policy)
    model = small(input_shape=(*space, 2))
    losses = fit(model, rng.normal(size=(4, *space, 2)), labels, epochs=6)
    assert losses[-1] < 0.9 * losses[0]


@every_space
def test_network_in_float64(rng, labels, space):
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    model, x = small(input_shape=(*space, 2), weight_decay=1e-3), rng.normal(size=(4, *space, 2))
    assert {weight.dtype for weight in model.weights} == {"float64"}
    fit(model, x, labels, run_eagerly=True)
    assert model(x).dtype == "float64"


# Save, load, clone, export, nest.


def everything(architecture="hamiltonian", space=(8, 8), **settings):
    """A model with every setting that has to survive."""
    return small(
        architecture,
        (*space, 3),
        steps=(1, 2),
        step_size=(1.0, 0.5),
        time_smoothness=1e-3,
        weight_decay=1e-3,
        box=1.0,
        activation="tanh",
        kernel_initializer=keras.initializers.HeNormal(seed=1),
        **settings,
    )


CASES = [
    *((architecture, (8, 8), "float32") for architecture in ARCHITECTURES),
    ("hamiltonian", (9,), "float32"),
    ("second_order", (4, 6, 5), "float32"),
    ("hamiltonian", (8, 8), "mixed_bfloat16"),
    ("parabolic", (9,), "mixed_bfloat16"),
    ("second_order", (4, 6, 5), "mixed_bfloat16"),
    ("residual", (None, None), "float32"),
]


@pytest.fixture
def case(request, rng, randomize):
    architecture, space, policy = request.param
    keras.config.set_dtype_policy(policy)
    model = randomize(everything(architecture, space))
    keras.config.set_dtype_policy("float32")
    return model, rng.uniform(0, 255, size=(2, *(n or 7 for n in space), 3)).astype("float32")


every_case = pytest.mark.parametrize("case", CASES, indirect=True, ids=str)


@every_case
def test_save_and_load(tmp_path, case):
    model, x = case
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert isinstance(loaded, models.PDEModel)
    assert gap(loaded(x), model(x)) == 0
    assert gap(loaded.losses, model.losses) == 0
    assert [w.path for w in loaded.weights] == [w.path for w in model.weights]
    assert all(block.kernel_constraint.maximum == 1 for block in loaded.blocks)


@every_case
def test_clone(case):
    model, x = case
    clone = keras.models.clone_model(model)
    assert isinstance(clone, models.PDEModel)
    assert [layer.get_config() for layer in clone.layers] == [layer.get_config() for layer in model.layers]
    assert len(clone.losses) == len(model.losses)
    clone.set_weights(model.get_weights())
    assert gap(clone(x), model(x)) == 0


# Each network, rank and policy once; the sizes that are not known are exported below.
@pytest.mark.slow
@pytest.mark.parametrize("case", [*CASES[1:4:2], *CASES[6:9]], indirect=True, ids=str)
def test_export(tmp_path, case):
    model, x = case
    model.export(tmp_path / "model", verbose=False)
    exported = tf.saved_model.load(tmp_path / "model")
    tolerance = 1e-5 if model.blocks[0].compute_dtype == "float32" else 1e-2
    assert gap(exported.serve(x), model(x)) < tolerance


@pytest.mark.slow
def test_exported_model_takes_other_batches_and_sizes(tmp_path, images):
    model = small(input_shape=(None, None, 3))
    model.export(tmp_path / "model", verbose=False)
    exported = tf.saved_model.load(tmp_path / "model")
    for x in (images[:1], images[:, :5, :3], images[:, :1, :1]):
        assert gap(exported.serve(x), model(x)) < 1e-5


@pytest.mark.slow
def test_load_in_a_fresh_process(tmp_path, images):
    model = everything()
    model.save(tmp_path / "model.keras")
    np.save(tmp_path / "images.npy", images)
    program = (
        "import keras, keras_pdecnn, numpy as np\n"
        "model = keras.models.load_model('model.keras')\n"
        "assert isinstance(model, keras_pdecnn.models.PDEModel)\n"
        "np.save('out.npy', model(np.load('images.npy')))\n"
    )
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=True, capture_output=True)
    assert gap(np.load(tmp_path / "out.npy"), model(images)) < 1e-5


@pytest.mark.slow
def test_training_goes_on_after_loading(tmp_path, images, labels):
    model = everything()
    fit(model, images, labels)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    for continued in (model, loaded):
        continued.fit(images, labels, shuffle=False, verbose=0)
    for a, b in zip(model.get_weights(), loaded.get_weights(), strict=True):
        assert np.linalg.norm(a - b) <= 1e-5 * np.linalg.norm(a)


def test_weights_file(tmp_path, images, randomize):
    model, other = randomize(small()), small()
    model.save_weights(tmp_path / "model.weights.h5")
    other.load_weights(tmp_path / "model.weights.h5")
    assert gap(other(images), model(images)) == 0


def test_network_as_part_of_another(tmp_path, images):
    inputs = keras.Input((8, 8, 3))
    outputs = keras.layers.Dense(2)(small(include_top=False, pooling="avg")(inputs))
    model = keras.Model(inputs, outputs)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert isinstance(loaded.layers[1], models.PDEModel)
    assert gap(loaded(images), model(images)) == 0


def test_features_of_an_inner_layer(images):
    model = small()
    features = keras.Model(model.input, model.blocks[0].output)(images)
    opening = keras.Model(model.input, model.get_layer("opening").output)(images)
    assert gap(features, model.blocks[0](opening)) < 1e-6


def test_model_may_be_subclassed(images):
    class Model(models.PDEModel):
        pass

    network = small()
    assert gap(Model(network.input, network.output)(images), network(images)) == 0


# What is refused.


@pytest.mark.parametrize(
    "settings",
    [
        *({"widths": value} for value in ((), 4, None, (0, 4), (4.0,), "ab")),
        *({"steps": value} for value in ((1, 2, 3), (1,), (1, 0), 0, 2.0, None)),
        *({"step_size": value} for value in ((1.0,), (1.0, 0.0), -1.0, float("nan"), None)),
        *({"head_width": value} for value in (0, 2.5)),
        *({"classes": value} for value in (None, 0, 2.5)),
        *({"time_smoothness": value} for value in (-1.0, float("nan"), None)),
        *({"weight_decay": value} for value in (-1.0, float("inf"))),
        *({"box": value} for value in (0.0, -1.0, "one")),
        *({"include_top": value} for value in ("yes", None)),
        {"include_preprocessing": "no"},
        {"pooling": "min"},
        {"synchronized": "yes"},
        {"classifier_activation": "unknown"},
        *({"input_shape": value} for value in ((8,), (8, 8, None), (8, 0, 3), (8, 8, 8, 8, 3), (8.0, 8, 3), None, 8)),
        {"kernel_size": 4},
        {"activation": "unknown"},
        {"backprop": "unknown"},
    ],
    ids=str,
)
def test_builder_refuses(settings):
    with pytest.raises(ValueError, match=r"Received: " + next(iter(settings))):
        small(**settings)


@pytest.mark.parametrize("architecture", ["parabolic", "residual"])
def test_builder_couples_steps_that_cannot_be_undone(architecture):
    plain, coupled = (small(architecture, backprop=backprop) for backprop in (None, "reversible"))
    assert not any(block.integrator.is_reversible for block in plain.blocks)
    assert all(block.integrator.is_reversible for block in coupled.blocks)


def test_builder_refuses_an_odd_width_of_a_hamiltonian_network():
    with pytest.raises(ValueError, match=r"widths must be.*2 equal parts. Received: widths=\(5, 6\)"):
        small(widths=(5, 6))
    assert small("parabolic", widths=(5, 6)).output_shape == (None, 3)


@pytest.mark.parametrize(
    ("size", "widths", "fitting"), [(1, (4, 4), "one block fits"), (3, (4, 4, 4), "at most 2 blocks fit")]
)
def test_builder_says_how_many_blocks_fit(size, widths, fitting):
    assert small(input_shape=(size, 8, 3), widths=widths[:-1]).output_shape == (None, 3)
    received = rf"Received: input_shape=\({size}, 8, 3\), widths=\({', '.join(map(str, widths))}\)"
    with pytest.raises(ValueError, match=rf"{fitting} an input of this size. {received}"):
        small(input_shape=(size, 8, 3), widths=widths)
    with pytest.raises(ValueError, match=rf"{fitting} an input of this size. Received: input_shape=\(3, 8, {size}\)"):
        small(input_shape=(3, 8, size), widths=widths, data_format="channels_first")


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("width", "widths"), ("step", "steps"), ("kernelsize", "kernel_size"), ("timesmoothness", "time_smoothness")],
)
def test_builder_asks_what_was_meant(typed, meant):
    with pytest.raises(
        ValueError, match=f"HamiltonianCNN has no argument '{typed}': did you mean '{meant}'\\? Received: {typed}=3"
    ):
        small(**{typed: 3})
    with pytest.raises(ValueError, match=r"no argument 'q'\. Received: q=1"):
        small(q=1)


CONTRACT = (
    *("input_shape", "classes", "widths", "head_width", "steps", "step_size", "time_smoothness", "weight_decay", "box"),
    *("include_top", "include_preprocessing", "classifier_activation", "pooling", "synchronized", "provable"),
    *("lipschitz", "weights", "name", "max_step_size", "data_format", "opening_kernel_size"),
    *("opening_stride", "opening_width", "dropout", "spectrogram", "spectrogram_step", "pool", "orthogonal"),
    "block_kwargs",
)


@every_architecture
def test_builder_shows_its_arguments(architecture):
    build = ARCHITECTURES[architecture]
    assert inspect.isfunction(build)
    assert tuple(inspect.signature(build).parameters) == CONTRACT
    assert inspect.signature(build) == inspect.signature(models.ParabolicCNN)
    text = pydoc.render_doc(build, renderer=pydoc.plaintext)
    assert f"{build.__name__}(input_shape" in text
    documented = re.findall(r"^    \*{0,2}(\w+): ", inspect.getdoc(build).partition("Args:")[2], re.MULTILINE)
    assert tuple(name for name in documented if name != "ValueError") == CONTRACT


@pytest.mark.parametrize("input_shape", [(3, 8, 3), (8, 1, 3), (None, 2, 3)])
def test_builder_refuses_to_pool_an_axis_away(input_shape):
    with pytest.raises(ValueError, match=r"nothing of an axis.*Received: input_shape="):
        small(input_shape=input_shape, widths=(4, 6, 8))


@pytest.mark.parametrize("shape", [(2, 8, 8, 4), (2, 8, 8), (2, 4, 4, 3)])
def test_model_refuses_other_images(shape):
    with pytest.raises(ValueError, match=r"incompatible|expected"):
        small()(np.ones(shape))


def test_unknown_argument_is_named():
    with pytest.raises(ValueError, match="momentumm"):
        small(momentumm=0.9)


def test_blocks_of_each_architecture():
    expected = {
        "parabolic": layers.ParabolicBlock,
        "hamiltonian": layers.HamiltonianBlock,
        "second_order": layers.SecondOrderBlock,
        "residual": layers.ResidualBlock,
    }
    assert {name: type(small(name).blocks[0]) for name in ARCHITECTURES} == expected


@pytest.mark.slow
def test_every_backprop_exports_the_same_with_its_gradient(images, tmp_path):
    sizes, outputs, gradients = [], [], []
    for mode in ("stored", "checkpointed", "reversible"):
        keras.utils.set_random_seed(3)
        model = small(widths=(4,), steps=6, backprop=mode, activation="tanh")
        model.export(tmp_path / mode, verbose=False)
        sizes.append(sum(path.stat().st_size for path in (tmp_path / mode).rglob("*") if path.is_file()))
        reloaded = tf.saved_model.load(tmp_path / mode)
        for call in (model, reloaded.serve):
            x = tf.constant(images)
            with tf.GradientTape() as tape:
                tape.watch(x)
                probabilities = call(x)
                second = probabilities[:, 1]
            outputs.append(probabilities)
            gradients.append(tape.gradient(second, x))
    assert max(sizes) < 1.02 * min(sizes)
    assert all(gap(output, outputs[0]) < 1e-5 for output in outputs)
    assert all(tf.norm(g - gradients[0]) < 1e-3 * tf.norm(gradients[0]) for g in gradients)


@pytest.mark.slow
@pytest.mark.parametrize("backprop", ["stored", "checkpointed", "reversible"])
def test_a_block_in_a_model_of_ones_own_is_exported(images, backprop, tmp_path):
    block = layers.HamiltonianBlock(6, backprop=backprop, checkpoint_every=2)
    model = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(4, 1), block])
    model.export(tmp_path / "model", verbose=False)
    assert gap(tf.saved_model.load(tmp_path / "model").serve(images), model(images)) < 1e-3 * np.std(model(images))


# Provable networks.


def test_provable_network_by_its_layers():
    model = small("second_order", steps=(2, 3), step_size=(0.5, "auto"), provable=True, lipschitz=3.0)
    names = ["input", "standardization", "opening", "block_1", "connector_1", "block_2", "connector_2"]
    assert [layer.name for layer in model.layers] == [*names, "flatten", "classifier"]
    connectors = [model.get_layer(name) for name in ("opening", "connector_1", "connector_2")]
    assert all(type(connector) is layers.BoundedConnector for connector in connectors)
    assert type(model.layers[-1]) is layers.NormalizedDense
    assert [block.step_size for block in model.blocks] == ["auto", "auto"]
    assert [block.max_step_size for block in model.blocks] == [0.5, 1.0]
    assert [block.max_gain for block in model.blocks] == [1 / 4, 1 / 9]
    assert {block.normalization for block in model.blocks} == {None}
    assert model.layers[-1].lipschitz == 3.0
    chosen = small(provable=True, normalization="scale", max_gain=0.5)
    assert {(block.normalization, block.max_gain) for block in chosen.blocks} == {("scale", 0.5)}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("architecture", "space", "policy"),
    [("parabolic", (8, 8), "mixed_bfloat16"), ("hamiltonian", (9,), "float32"), ("second_order", (4, 6, 5), "float32")],
)
def test_provable_network_is_trained_saved_and_cloned(rng, labels, tmp_path, architecture, space, policy):
    keras.config.set_dtype_policy(policy)
    model = small(architecture, (*space, 2), provable=True, weight_decay=1e-4)
    keras.config.set_dtype_policy("float32")
    x = rng.uniform(0, 255, size=(4, *space, 2)).astype("float32")
    model.compile(keras.optimizers.Adam(0.02), "sparse_categorical_crossentropy")
    losses = model.fit(x, labels, epochs=20, shuffle=False, verbose=0).history["loss"]
    assert losses[-1] < 0.8 * losses[0]
    assert model(x).dtype == "float32"
    model.save(tmp_path / "model.keras")
    assert gap(keras.models.load_model(tmp_path / "model.keras")(x), model(x)) == 0
    clone = keras.models.clone_model(model)
    clone.set_weights(model.get_weights())
    assert gap(clone(x), model(x)) == 0


@pytest.mark.slow
def test_provable_network_is_exported(images, randomize, tmp_path):
    model = randomize(small("second_order", provable=True))
    model.export(tmp_path / "model", verbose=False)
    assert gap(tf.saved_model.load(tmp_path / "model").serve(images), model(images)) < 1e-5


@pytest.mark.parametrize(
    ("architecture", "settings", "received"),
    [
        ("residual", {}, "provable=True"),
        ("second_order", {"steps": 0}, "steps=0"),
        ("parabolic", {"input_shape": (None, 8, 3)}, "input_shape="),
        ("parabolic", {"lipschitz": 0.0}, "lipschitz=0.0"),
        ("parabolic", {"provable": "yes"}, "provable='yes'"),
        ("parabolic", {"step_size": -1.0}, "step_size=-1.0"),
        ("parabolic", {"max_gain": 0.0}, "max_gain=0.0"),
        ("parabolic", {"normalization": "tv"}, "provable=True, normalization='tv'"),
        ("parabolic", {"scheme": "rk4"}, "provable=True, scheme='rk4'"),
        ("parabolic", {"scheme": "accelerated"}, "provable=True, scheme='accelerated'"),
        ("parabolic", {"backprop": "reversible"}, "provable=True, backprop='reversible'"),
        ("parabolic", {"scheme": "heun", "backprop": "reversible"}, "provable=True, scheme='heun', backprop='rev"),
        ("hamiltonian", {"scheme": "symmetric", "backprop": "reversible"}, "provable=True, scheme='symmetric'$"),
        ("second_order", {"scheme": "half-kick"}, "provable=True, scheme='half-kick'"),
    ],
)
def test_provable_builder_refuses(architecture, settings, received):
    with pytest.raises(ValueError, match=f"Received: {received}"):
        small(architecture, **{"provable": True, **settings})


def test_provable_builder_refuses_an_integrator_of_a_user():
    class HeunBlock(layers.ParabolicBlock):
        integrator = ops.heun

    parts = CertifiedParts(HeunBlock, 2.0, None)
    with pytest.raises(ValueError, match='Received: provable=True, integrator="Heun\'s method"'):
        parts.check_block(HeunBlock(2, normalization=None))
