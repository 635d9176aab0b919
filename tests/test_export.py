"""Exported models against the Keras models they come from: SavedModel, LiteRT and ONNX."""

import io
import json
import os
import subprocess
import sys
import zipfile

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers.graphs import types_by_operation
from PIL import Image
from tensorflow.core.protobuf import saved_model_pb2

from keras_pdecnn import data, export, inference, layers, models
from keras_pdecnn.data.crops import Crop
from keras_pdecnn.export import checks, exportable, heads
from keras_pdecnn.export.decoding import decode
from keras_pdecnn.tasks import TASKS

# Each network, rank, policy and way to take the gradient, and loops (more than four steps) as well as single steps.
CASES = {
    "hamiltonian": ((8, 8), "float32", "reversible", 6),
    "second_order": ((4, 6, 5), "mixed_bfloat16", "checkpointed", 5),
    "parabolic": ((9,), "mixed_float16", "stored", 2),
    "residual": ((None, None), "float32", "checkpointed", 2),
}
NAMES = ("null", "één", "two words")


def gap(a, b):
    return np.max(np.abs(np.asarray(a, "float64") - np.asarray(b, "float64")))


def build(architecture, space, policy="float32", backprop=None, steps=2, **settings):
    keras.config.set_dtype_policy(policy)
    settings = {"classes": 3, "widths": (4, 6), "activation": "tanh", "backprop": backprop, **settings}
    model = models.ARCHITECTURES[architecture]((*space, 3), steps=steps, step_size=0.2, **settings)
    keras.config.set_dtype_policy("float32")
    # Moving statistics that are not those of the start.
    rng = np.random.default_rng(1)
    for weight in model.non_trainable_variables:
        weight.assign(rng.uniform(0.5, 1.5, weight.shape) - (weight.name == "moving_mean"))
    return model


def examples(model, count=3):
    shape = (n or 7 for n in model.input_shape[1:-1])
    return np.random.default_rng(0).uniform(0, 255, (count, *shape, 3)).astype("float32")


def gradient(call, x):
    x = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(x)
        second = call(x)[:, 1]
    return tape.gradient(second, x)


@pytest.fixture(scope="module")
def networks():
    keras.utils.set_random_seed(7)
    return {name: build(name, *settings) for name, settings in CASES.items()}


@pytest.fixture(scope="module")
def folder(networks, tmp_path_factory):
    """Return a folder with the SavedModel of every network."""
    path = tmp_path_factory.mktemp("exported")
    for name, model in networks.items():
        assert export.savedmodel(model, path / name, NAMES) == path / name / "1"
    return path


# SavedModel.

WITHOUT_KERAS = """
import importlib.abc, importlib.machinery, sys
class Refuse(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def find_spec(self, name, path=None, target=None):  # TensorFlow asks where Keras is, without importing it
        known = name.split(".")[0] in ("keras", "keras_pdecnn", "tf_keras")
        return importlib.machinery.ModuleSpec(name, self) if known else None
    def create_module(self, spec):
        raise ImportError(spec.name)
sys.meta_path.insert(0, Refuse())
import numpy as np, tensorflow as tf
results = {}
for name, kind in (pair.split("=") for pair in sys.argv[1:]):
    model = tf.saved_model.load(f"{name}/1")
    serve = model.signatures["serving_default"]
    x = tf.constant(np.load(f"{name}.npy"))
    with tf.GradientTape() as tape:
        tape.watch(x)
        outputs = serve(**{kind: x})
        second = outputs["probabilities"][:, 1]
    results |= {f"{name}/{key}": value.numpy() for key, value in outputs.items() if key != "label"}
    results[f"{name}/label"] = np.char.decode(outputs["label"].numpy().astype(bytes), "utf-8")
    results[f"{name}/gradient"] = tape.gradient(second, x).numpy()
    results[f"{name}/one"] = serve(**{kind: x[:1]})["probabilities"].numpy()
assert not [name for name in sys.modules if name.split(".")[0] in ("keras", "keras_pdecnn")]
np.savez("results.npz", **results)
"""


@pytest.mark.slow
def test_a_process_without_keras_gets_the_same_values_and_gradients(networks, folder):
    kinds = {name: checks.INPUTS[len(model.input_shape) - 2] for name, model in networks.items()}
    for name, model in networks.items():
        np.save(folder / f"{name}.npy", examples(model, 5))  # halves of different sizes
    command = [sys.executable, "-c", WITHOUT_KERAS, *(f"{name}={kind}" for name, kind in kinds.items())]
    run = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=240, check=False)
    assert run.returncode == 0, run.stderr
    assert "custom gradient" not in run.stderr
    results = np.load(folder / "results.npz")
    for name, model in networks.items():
        x = examples(model, 5)
        expected, slope = np.asarray(model(x)), gradient(model, x)
        mixed = CASES[name][1] != "float32"
        assert gap(results[f"{name}/probabilities"], expected) < (5e-3 if mixed else 1e-6)
        assert gap(results[f"{name}/one"], expected[:1]) < (5e-3 if mixed else 1e-6)
        np.testing.assert_array_equal(results[f"{name}/class"], results[f"{name}/probabilities"].argmax(-1))
        assert results[f"{name}/class"].dtype == np.int64
        assert list(results[f"{name}/label"]) == [NAMES[i] for i in results[f"{name}/class"]]
        assert np.linalg.norm(slope) > 0
        assert np.linalg.norm(results[f"{name}/gradient"] - slope) < (0.1 if mixed else 1e-4) * np.linalg.norm(slope)


@pytest.mark.slow
def test_saved_model_cli(networks, folder, tmp_path):
    x = examples(networks["hamiltonian"])
    np.save(tmp_path / "x.npy", x)
    command = [sys.executable, "-m", "tensorflow.python.tools.saved_model_cli", "run"]
    command += ["--dir", folder / "hamiltonian" / "1", "--tag_set", "serve", "--signature_def", "serving_default"]
    command += ["--inputs", f"image={tmp_path / 'x.npy'}", "--outdir", tmp_path]
    run = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert run.returncode == 0, run.stderr
    expected = np.asarray(networks["hamiltonian"](x))
    assert gap(np.load(tmp_path / "probabilities.npy"), expected) < 1e-6
    np.testing.assert_array_equal(np.load(tmp_path / "class.npy"), expected.argmax(-1))


def test_class_names_are_an_asset(folder):
    assert (folder / "parabolic" / "1" / "assets" / "classes.txt").read_text("utf-8").splitlines() == list(NAMES)


def test_images_of_any_size_and_number(networks, folder):
    serve = tf.saved_model.load(str(folder / "residual" / "1")).signatures["serving_default"]
    for shape in ((1, 1, 1, 3), (2, 5, 11, 3), (5, 16, 8, 3), (0, 5, 11, 3)):
        x = np.random.default_rng(2).uniform(0, 255, shape).astype("float32")
        outputs = serve(image=tf.constant(x))["probabilities"]
        np.testing.assert_allclose(outputs, networks["residual"](x), rtol=0, atol=1e-6)
    for name in ("residual", "hamiltonian"):  # any size, and a fixed one
        serve = tf.saved_model.load(str(folder / name / "1")).signatures["serving_bytes"]
        assert serve(image_bytes=tf.constant([], tf.string))["label"].shape == (0,)


def encoded(array, kind, mode=None):
    file = io.BytesIO()
    Image.fromarray(array).convert(mode).save(file, kind) if mode else Image.fromarray(array).save(file, kind)
    return file.getvalue()


def test_encoded_images(networks, folder, tmp_path, rng):
    serve = tf.saved_model.load(str(folder / "hamiltonian" / "1")).signatures["serving_bytes"]
    small, large = (rng.integers(0, 255, (side, side, 3), dtype=np.uint8) for side in (8, 21))
    contents = [encoded(small, "PNG"), encoded(small, "PNG", "RGBA"), encoded(small, "PNG", "L")]
    contents += [encoded(large, "PNG"), encoded(large, "JPEG"), encoded(large, "BMP"), encoded(small, "GIF")]
    outputs = serve(image_bytes=tf.constant(contents))["probabilities"]
    for index, content in enumerate(contents):
        (tmp_path / "image").write_bytes(content)
        x = decode(tf.constant([content]), (8, 8, 3))
        assert gap(outputs[index], networks["hamiltonian"](x)[0]) < 1e-6
        # A resized pixel may be rounded otherwise.
        assert gap(x[0], data.read_image(tmp_path / "image", (8, 8, 3))) <= (0 if index in (0, 1, 2, 6) else 1)
    with pytest.raises(tf.errors.InvalidArgumentError):
        serve(image_bytes=tf.constant([b"no image"]))


def test_decoding_is_that_of_read_image(tmp_path, rng):
    colours = rng.integers(0, 255, (6, 7, 3), dtype=np.uint8)
    wide = rng.integers(0, 2**16, (6, 7)).astype(np.uint16)
    modes = [(colours, mode) for mode in ("RGB", "RGBA", "L", "LA", "P")]
    for array, mode in (*modes, (wide, None)):
        content = encoded(array, "PNG", mode)
        (tmp_path / "image.png").write_bytes(content)
        for shape in ((6, 7, 1), (None, None, 3)):
            read = data.read_image(tmp_path / "image.png", (6, 7, shape[-1]))
            np.testing.assert_array_equal(decode(tf.constant([content]), shape)[0], read)


@pytest.mark.parametrize("kind", ["center", "random"])
def test_the_window_of_an_image_is_that_of_read_image(kind, tmp_path, rng):
    window = Crop(kind)
    for size, shape in (((9, 20), (8, 8, 3)), ((90, 50), (8, 6, 1)), ((6, 7), (None, None, 3))):
        pixels = rng.integers(0, 255, (*size, 3), dtype=np.uint8)
        for content in (encoded(pixels, "PNG"), encoded(pixels, "JPEG")):
            (tmp_path / "image").write_bytes(content)
            full = (*(n or natural for n, natural in zip(shape, size, strict=False)), shape[-1])
            read = data.read_image(tmp_path / "image", full, window)
            assert gap(decode(tf.constant([content]), shape, window)[0], read) <= 1  # rounded otherwise


def test_encoded_images_are_cropped(tmp_path, rng):
    model = build("parabolic", (8, 8), widths=(4,), steps=1)
    path = export.savedmodel(model, tmp_path / "name", NAMES, crop="random")
    content = encoded(rng.integers(0, 255, (16, 40, 3), dtype=np.uint8), "PNG")
    serve = tf.saved_model.load(str(path)).signatures["serving_bytes"]
    outputs = serve(image_bytes=tf.constant([content]))["probabilities"]
    expected, whole = (model(decode(tf.constant([content]), (8, 8, 3), window)) for window in (Crop("random"), None))
    assert gap(outputs, expected) < 1e-6
    assert gap(outputs, whole) > 1e-3


@pytest.mark.parametrize("white", [1.0, 255.0])
def test_encoded_images_are_restored_in_the_units_of_the_network(tmp_path, rng, white):
    model = models.ParabolicUNet((8, 8, 3), restoration=True, max_value=white, widths=(4, 4), steps=1)
    path = export.savedmodel(model, tmp_path / "name")
    pixels = rng.integers(0, 255, (8, 8, 3), dtype=np.uint8)
    (restored,) = (
        tf.saved_model.load(str(path))
        .signatures["serving_bytes"](image_bytes=tf.constant([encoded(pixels, "PNG")]))
        .values()
    )
    assert gap(restored, pixels[None] / 255 * white) < 1e-5 * white  # the identity before the training


def test_only_images_are_decoded(folder):
    for name in ("second_order", "parabolic"):
        assert list(tf.saved_model.load(str(folder / name / "1")).signatures) == ["serving_default"]


def test_versions_are_never_overwritten(tmp_path):
    model = build("parabolic", (9,), widths=(4,), steps=1)
    (tmp_path / "name" / "7").mkdir(parents=True)
    (tmp_path / "name" / "7" / "file").write_text("mine")
    assert export.savedmodel(model, tmp_path / "name") == tmp_path / "name" / "8"
    assert export.savedmodel(model, str(tmp_path / "name")) == tmp_path / "name" / "9"
    assert sorted(os.listdir(tmp_path / "name")) == ["7", "8", "9"]
    assert os.listdir(tmp_path / "name" / "7") == ["file"]
    assert (tmp_path / "name" / "8" / "assets" / "classes.txt").read_text() == "0\n1\n2\n"


def test_an_interrupted_export_leaves_nothing(tmp_path, monkeypatch):
    def fail(*args, **kwargs):
        raise OSError("disk full")

    monkeypatch.setattr(tf.saved_model, "save", fail)
    with pytest.raises(OSError, match="disk full"):
        export.savedmodel(build("parabolic", (9,), widths=(4,), steps=1), tmp_path / "name")
    assert os.listdir(tmp_path / "name") == []


def test_logits_become_probabilities_and_the_model_is_left_as_it_was(tmp_path):
    inputs = keras.Input((8, 8, 1))
    block = layers.ParabolicBlock(2)
    y = keras.layers.Flatten()(block(layers.Connector(4)(inputs)))
    model = keras.Model(inputs, keras.layers.Dense(3)(y))
    x = np.random.default_rng(0).uniform(0, 1, (2, 8, 8, 1)).astype("float32")
    before = np.asarray(model(x))
    path = export.savedmodel(model, tmp_path / "name")
    serve = tf.saved_model.load(str(path)).signatures["serving_default"]
    assert gap(serve(image=tf.constant(x))["probabilities"], tf.nn.softmax(before)) < 1e-6
    np.testing.assert_array_equal(model(x), before)
    assert not block._plain


# LiteRT and ONNX.


def float32_twin(name, model):
    space, _, backprop, steps = CASES[name]
    twin = build(name, space, "float32", backprop, steps)
    twin.set_weights(model.get_weights())
    return twin


@pytest.mark.slow
@pytest.mark.parametrize("name", ["hamiltonian", "second_order"])
def test_litert(networks, name, tmp_path):
    interpreter = pytest.importorskip("ai_edge_litert.interpreter", reason="needs keras-pdecnn[litert]")
    model = networks[name]
    path = export.litert(model, tmp_path / "model.tflite", NAMES)
    runner = interpreter.Interpreter(str(path)).get_signature_runner("serving_default")
    kind = checks.INPUTS[len(model.input_shape) - 2]
    for x in (examples(model), examples(model, 1)):
        outputs, expected = runner(**{kind: x}), np.asarray(float32_twin(name, model)(x))
        assert gap(outputs["probabilities"], expected) < 1e-5
        np.testing.assert_array_equal(outputs["class"], expected.argmax(-1))
    assert zipfile.ZipFile(path).read("classes.txt").decode().splitlines() == list(NAMES)
    assert os.listdir(tmp_path) == ["model.tflite"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["hamiltonian", "parabolic"])
def test_onnx(networks, name, tmp_path):
    pytest.importorskip("tf2onnx", reason="needs keras-pdecnn[onnx]")
    runtime = pytest.importorskip("onnxruntime", reason="needs keras-pdecnn[onnx]")
    model = networks[name]
    session = runtime.InferenceSession(str(export.onnx(model, tmp_path / "model.onnx", NAMES)))
    kind = checks.INPUTS[len(model.input_shape) - 2]
    for x in (examples(model), examples(model, 1)):
        expected = np.asarray(float32_twin(name, model)(x))
        probabilities, index = session.run(["probabilities", "class"], {kind: x})
        assert gap(probabilities, expected) < 1e-5
        np.testing.assert_array_equal(index, expected.argmax(-1))
    assert json.loads(session.get_modelmeta().custom_metadata_map["class_names"]) == list(NAMES)
    assert os.listdir(tmp_path) == ["model.onnx"]


# What is refused.

SUFFIXES = {export.litert: ".tflite", export.onnx: ".onnx"}


@pytest.mark.parametrize("function", export.FORMATS.values(), ids=export.FORMATS)
@pytest.mark.parametrize("names", [("a", "b"), ("a", "b", "c\nd"), ("a", "b", 3), ("a", "b", "")], ids=repr)
def test_wrong_class_names(function, names, networks, tmp_path):
    with pytest.raises(ValueError, match=r"one per class or value. Received: class_names="):
        function(networks["parabolic"], tmp_path / f"x{SUFFIXES.get(function, '')}", names)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("function", SUFFIXES, ids=lambda function: function.__name__)
def test_a_file_is_never_overwritten(function, networks, tmp_path):
    path = tmp_path / f"x{SUFFIXES[function]}"
    path.write_text("mine")
    with pytest.raises(ValueError, match=r"must not exist yet. Received: "):
        function(networks["parabolic"], path)
    with pytest.raises(ValueError, match=r"must end in \.\w+. Received: "):
        function(networks["parabolic"], tmp_path / "other")
    assert path.read_text() == "mine"


def test_models_of_something_else(tmp_path):
    vectors = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    sequences = keras.Sequential([keras.Input((4, 4, 1)), keras.layers.Reshape((16, 1))])
    for model in (sequences, vectors):
        with pytest.raises(ValueError, match=r"Only models of one signal, image or video"):
            export.savedmodel(model, tmp_path)
    with pytest.raises(ValueError, match=r"must be 1 texts .* Received: class_names=\('a', 'b'\)"):
        model = models.ParabolicUNet((4, 4, 1), 1, widths=(2,), steps=1)
        export.savedmodel(model, tmp_path, ("a", "b"), outputs="values")


@pytest.mark.parametrize("function", export.FORMATS.values(), ids=export.FORMATS)
@pytest.mark.parametrize("network", ["ParabolicCNN", "ParabolicUNet", "own"])
def test_the_channels_must_come_last(function, network, tmp_path):
    if network == "own":  # a network inside another one
        block = layers.ParabolicBlock(1, data_format="channels_first")
        model = keras.Sequential([keras.Input((3, 8, 8)), keras.Sequential([block]), keras.layers.Flatten()])
    else:
        settings = {"widths": (4,), "steps": 1, "data_format": "channels_first"}
        model = getattr(models, network)((3, 8, 8), 2, **settings)
    with pytest.raises(ValueError, match=r"channels must come last.*Received: a model of shapes \(None, 3, 8, 8\)"):
        function(model, tmp_path / f"x{SUFFIXES.get(function, '')}")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("settings", "received"),
    [
        ({"crop": "left"}, "crop='left'"),
        ({"sampling_rate": 0}, "sampling_rate=0"),
        ({"mask_colors": ("ff0000", "red")}, "mask_colors='red'"),
    ],
)
def test_wrong_facts_of_the_examples(settings, received, networks, tmp_path):
    with pytest.raises(ValueError, match=f"Received: {received}"):
        export.savedmodel(networks["hamiltonian"], tmp_path, **settings)
    with pytest.raises(ValueError, match=r"Only image files .* are cropped. Received: crop='center', a model of"):
        export.savedmodel(networks["parabolic"], tmp_path, crop="center")
    assert os.listdir(tmp_path) == []


# Precision.


@pytest.fixture(scope="module")
def wide():
    keras.utils.set_random_seed(3)
    model = build("hamiltonian", (8, 8), widths=(32, 32), steps=1)
    for weight in model.trainable_variables:
        if weight.name == "beta":
            weight.assign(np.random.default_rng(2).normal(size=weight.shape))
    return model


def graph_of(path):
    """Return the graph of a SavedModel."""
    return saved_model_pb2.SavedModel.FromString((path / "saved_model.pb").read_bytes()).meta_graphs[0].graph_def


@pytest.mark.parametrize("jit_compile", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_batches_of_all_sizes(wide, tmp_path, jit_compile):
    path = export.savedmodel(wide, tmp_path, NAMES, jit_compile=jit_compile)
    serve = tf.saved_model.load(str(path)).signatures["serving_default"]
    x = examples(wide, 9)
    expected = np.asarray(wide(x))
    for n in (0, 1, 2, 3, 4, 5, 9):
        outputs = serve(image=tf.constant(x[:n]))
        np.testing.assert_allclose(outputs["probabilities"], expected[:n], rtol=0, atol=1e-5)
        assert outputs["class"].numpy().tolist() == expected[:n].argmax(axis=1).tolist()


@pytest.mark.parametrize("jit_compile", [False, True])
def test_weights_are_written_once(tmp_path, jit_compile):
    model = build("parabolic", (8, 8), widths=(192,), steps=1)
    path = export.savedmodel(model, tmp_path, NAMES, jit_compile=jit_compile)
    size = sum(np.prod(weight.shape) for weight in model.weights) * 4
    assert size < (path / "saved_model.pb").stat().st_size < 1.5 * size


def test_only_single_examples_are_compiled(wide, tmp_path):
    def compiled(path):
        return [function for function in graph_of(path).library.function if function.attr["_XlaMustCompile"].b]

    assert len(compiled(export.savedmodel(wide, tmp_path, NAMES, jit_compile=True))) == 1
    assert not compiled(export.savedmodel(wide, tmp_path, NAMES))
    with pytest.raises(ValueError, match=r"jit_compile must be .* Received: jit_compile='yes'"):
        export.savedmodel(wide, tmp_path, NAMES, jit_compile="yes")


def test_compiled_single_examples_are_not_rounded(wide, tmp_path):
    path = export.savedmodel(wide, tmp_path, NAMES, precision="bfloat16", jit_compile=True)
    serve = tf.saved_model.load(str(path)).signatures["serving_default"]
    x = examples(wide, 4)
    expected = np.asarray(wide(x))
    assert gap(serve(image=tf.constant(x[:1]))["probabilities"], expected[:1]) < 1e-5
    assert 1e-5 < gap(serve(image=tf.constant(x))["probabilities"], expected) < 0.05


def test_convolutions_in_bfloat16(wide, tmp_path):
    x = examples(wide)
    answers, kinds = {}, {}
    for precision in ("float32", "bfloat16"):
        path = export.savedmodel(wide, tmp_path / precision, NAMES, precision=precision)
        serve = tf.saved_model.load(str(path)).signatures["serving_default"]
        answers[precision] = serve(image=tf.constant(x))["probabilities"]
        kinds[precision] = types_by_operation(graph_of(path))
    expected = np.asarray(wide(x))
    assert gap(answers["float32"], expected) < 1e-5  # also with the factors of the normalisation in the kernels
    assert 1e-5 < gap(answers["bfloat16"], expected) < 0.05
    assert all(found["Conv2D"] == {precision} for precision, found in kinds.items())
    assert all(found["Rsqrt"] == {"float32"} for found in kinds.values())


def test_a_network_in_mixed_precision_is_exported_in_float32(tmp_path):
    model = build("hamiltonian", (8, 8), "mixed_bfloat16", widths=(4,))
    twin = build("hamiltonian", (8, 8), widths=(4,))
    twin.set_weights(model.get_weights())
    path = export.savedmodel(model, tmp_path / "name", NAMES)
    x = examples(model)
    assert gap(answer("savedmodel", tmp_path / "name", x), twin(x)) < 1e-5
    assert types_by_operation(graph_of(path))["Conv2D"] == {"float32"}


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16", "float64", "float32"])
def test_layers_inside_others_are_exported_in_float32(policy, rng):
    def network():
        inner = keras.Sequential([keras.Input((6, 2)), keras.layers.Dense(2, "tanh")])
        couplings = layers.Reversible(inner, keras.layers.Dense(2)), layers.AffineCoupling(keras.layers.Dense(4))
        sequence = layers.ReversibleSequence([layers.Reversible(keras.layers.Dense(2))])
        wrapper = keras.layers.TimeDistributed(keras.layers.Dense(4))
        return keras.Sequential([keras.Input((6, 4)), *couplings, sequence, wrapper, keras.layers.Dense(3)])

    keras.config.set_dtype_policy(policy)
    model = network()
    keras.config.set_dtype_policy("float32")
    twin = network()
    twin.set_weights(model.get_weights())
    x = rng.normal(size=(2, 6, 4)).astype("float32")
    copy = exportable.in_float32(model)
    assert gap(copy(x), twin(x)) < 1e-6
    assert (copy is model) == (policy == "float32")


@pytest.mark.parametrize("kind", ["savedmodel", "litert", "onnx"])
def test_the_policy_of_keras_does_not_round_the_outputs(kind, tmp_path):
    """The policy that a network was made with may still be set when it is exported."""
    if kind != "savedmodel":
        optional = {"litert": "ai_edge_litert.interpreter", "onnx": "onnxruntime"}[kind]
        pytest.importorskip(optional, reason=f"needs keras-pdecnn[{kind}]")
    function = getattr(export, kind)
    model, path = build("hamiltonian", (8, 8)), tmp_path / f"model{SUFFIXES.get(function, '')}"
    keras.config.set_dtype_policy("mixed_bfloat16")
    function(model, path, NAMES)
    x = examples(model)
    assert gap(answer(kind, path, x), model(x)) < 1e-5


def answer(kind, path, x):
    """Return the probabilities that an exported network gives."""
    if kind == "savedmodel":
        return tf.saved_model.load(str(path / "1")).signatures["serving_default"](image=tf.constant(x))["probabilities"]
    if kind == "onnx":
        import onnxruntime

        return onnxruntime.InferenceSession(str(path)).run(["probabilities"], {"image": x})[0]
    from ai_edge_litert.interpreter import Interpreter

    return Interpreter(str(path)).get_signature_runner()(image=x)["probabilities"]


@pytest.mark.slow
def test_litert_with_small_weights(wide, tmp_path):
    interpreter = pytest.importorskip("ai_edge_litert.interpreter", reason="needs keras-pdecnn[litert]")
    sizes, x = {}, examples(wide)
    for precision, largest in (("float32", 1e-5), ("float16", 1e-2), ("int8", 0.2)):
        path = export.litert(wide, tmp_path / f"{precision}.tflite", NAMES, precision=precision)
        outputs = interpreter.Interpreter(str(path)).get_signature_runner("serving_default")(image=x)
        assert outputs["probabilities"].dtype == np.float32
        assert gap(outputs["probabilities"], wide(x)) < largest
        sizes[precision] = path.stat().st_size
    assert sizes["int8"] < 0.7 * sizes["float16"] < 0.7**2 * sizes["float32"]


@pytest.mark.parametrize("function", [export.savedmodel, export.litert], ids=["savedmodel", "litert"])
def test_wrong_precision(function, wide, tmp_path):
    with pytest.raises(ValueError, match=r"precision must be .* Received: precision='float64'"):
        function(wide, tmp_path / "model.tflite", precision="float64")
    assert not os.listdir(tmp_path)


@pytest.fixture(scope="module")
def denoiser():
    """Return a network that restores images of any size, with random weights, and a copy for 7x6 pixels."""
    settings = {"widths": (2, 4), "steps": 2, "restoration": True}
    model, fixed = (models.HamiltonianUNet((*size, 3), **settings) for size in ((None, None), (7, 6)))
    rng = np.random.default_rng(0)
    fixed.set_weights([rng.uniform(0.3, 0.6, weight.shape) for weight in fixed.get_weights()])
    model.set_weights(fixed.get_weights())
    return model, fixed


def test_denoiser_as_saved_model_takes_images_of_any_size(denoiser, tmp_path):
    model, _ = denoiser
    path = export.savedmodel(model, tmp_path / "denoiser")
    serve = tf.saved_model.load(str(path)).signatures["serving_default"]
    for size in ((7, 6), (1, 9)):
        x = np.random.default_rng(1).uniform(size=(2, *size, 3)).astype("float32")
        assert gap(serve(image=tf.constant(x))["values"], model(x)) < 1e-5
    network = inference.load(path)
    assert (network.task, network.input_shape, network.max_value) == ("restoration", (None, None, 3), 1.0)
    assert gap(network.outputs(x), model(x)) < 1e-5
    (path / "assets.extra" / "network.json").unlink()
    with pytest.raises(ValueError, match="without the task of the network; export it again"):
        inference.load(path)


@pytest.mark.parametrize("names", [None, ("a", "b", "c")])
def test_classes_of_pixels(names, tmp_path):
    activation = "softmax" if names is None else None
    model = models.SecondOrderUNet((5, 4, 1), 3, widths=(2, 4), steps=1, output_activation=activation)
    x = np.random.default_rng(1).uniform(size=(2, 5, 4, 1)).astype("float32")
    expected = model(x) if names is None else tf.nn.softmax(model(x))
    path = export.savedmodel(model, tmp_path / "pixels", names)
    outputs = tf.saved_model.load(str(path)).signatures["serving_default"](image=tf.constant(x))
    assert set(outputs) == {"probabilities", "class"}
    assert gap(outputs["probabilities"], expected) < 1e-6
    np.testing.assert_array_equal(outputs["class"], np.argmax(expected, axis=-1))
    assert (path / "assets" / "classes.txt").read_text().split() == list(names or "012")
    network = inference.load(path)
    assert (network.task, network.class_names) == ("segmentation", names or ("0", "1", "2"))
    assert gap(network.outputs(x), expected) < 1e-6


def test_white_of_a_restoration(tmp_path):
    model = models.ParabolicUNet((4, 4, 1), widths=(2,), steps=1, restoration=True, max_value=255)
    network = inference.load(export.savedmodel(model, tmp_path / "restoration"))
    assert (network.task, network.max_value) == ("restoration", 255.0)


@pytest.mark.parametrize("names", [None, ("length", "één")])
@pytest.mark.parametrize(("activation", "task"), [(None, "regression"), ("sigmoid", "multi_label")])
def test_values_of_examples(activation, task, names, tmp_path):
    model = keras.Sequential([keras.Input((5, 1)), keras.layers.Flatten(), keras.layers.Dense(2, activation)])
    path = export.savedmodel(model, tmp_path / task, names, outputs="values")
    x = np.random.default_rng(1).uniform(size=(3, 5, 1)).astype("float32")
    serve = tf.saved_model.load(str(path)).signatures["serving_default"]
    assert gap(serve(signal=tf.constant(x))["values"], model(x)) < 1e-6
    network = inference.load(path)
    assert (network.task, network.class_names, network.quantity) == (task, names or ("0", "1"), TASKS[task].quantity)
    assert gap(network.outputs(x), model(x)) < 1e-6


@pytest.mark.parametrize("names", [None, ("length", "één")])
@pytest.mark.parametrize(
    ("last", "task"),
    [(keras.layers.Dense(2, "sigmoid"), "multi_label"), (keras.layers.Rescaling([2.0, 3.0]), "regression")],
    ids=["sigmoid", "rescaling"],
)
def test_outputs_that_do_not_exclude_each_other_are_values(last, task, names):
    model = keras.Sequential([keras.Input((2, 1)), keras.layers.Flatten(), last])
    head = heads.head_of(model, names, None)
    assert head == heads.Values(names)
    assert head.task(model) == task


def test_a_single_output_is_no_class(tmp_path):
    for activation in (None, "softmax", "sigmoid"):
        model = keras.Sequential([keras.Input((5, 1)), keras.layers.Flatten(), keras.layers.Dense(1, activation)])
        assert heads.head_of(model, ("a",), None) == heads.Values(("a",))
        with pytest.raises(ValueError, match=r"single output .*Received: outputs='classes', .* \(None, 1\)"):
            export.savedmodel(model, tmp_path / "name", outputs="classes")
    assert os.listdir(tmp_path) == []


@pytest.mark.slow
def test_denoiser_in_litert_and_onnx(denoiser, tmp_path):
    interpreter = pytest.importorskip("ai_edge_litert.interpreter", reason="needs keras-pdecnn[litert]")
    pytest.importorskip("tf2onnx", reason="needs keras-pdecnn[onnx]")
    runtime = pytest.importorskip("onnxruntime", reason="needs keras-pdecnn[onnx]")
    model, fixed = denoiser
    x = np.random.default_rng(1).uniform(size=(2, 7, 6, 3)).astype("float32")
    with pytest.raises(ValueError, match=r"cannot convert .* any size.* Received: input_shape=\(None, None, 3\)"):
        export.litert(model, tmp_path / "any.tflite")
    assert not os.listdir(tmp_path)
    names = ("red", "green", "blue")
    path = export.litert(fixed, tmp_path / "model.tflite", names, outputs="values")
    runner = interpreter.Interpreter(str(path)).get_signature_runner("serving_default")
    assert gap(runner(image=x)["values"], fixed(x)) < 1e-5
    assert zipfile.ZipFile(path).read("classes.txt").decode().split() == list(names)
    session = runtime.InferenceSession(str(export.onnx(model, tmp_path / "model.onnx", names, outputs="values")))
    assert json.loads(session.get_modelmeta().custom_metadata_map["class_names"]) == list(names)
    for size in ((7, 6), (4, 9)):
        x = np.random.default_rng(1).uniform(size=(2, *size, 3)).astype("float32")
        assert gap(session.run(["values"], {"image": x})[0], model(x)) < 1e-5


# Use by this package.


def test_predict_with_an_exported_model(networks, folder):
    x = np.random.default_rng(3).integers(0, 255, (70, 8, 8, 3), dtype=np.uint8)
    for path in (folder / "hamiltonian", folder / "hamiltonian" / "1"):
        classifier = inference.load(path)
        assert (classifier.input_shape, classifier.class_names) == ((8, 8, 3), NAMES)
        assert gap(classifier.outputs(x), networks["hamiltonian"](x)) < 1e-6
    assert inference.load(folder / "residual").input_shape == (None, None, 3)


def test_the_facts_of_the_examples_are_kept(tmp_path):
    model = build("parabolic", (8, 8), widths=(4,), steps=1)
    facts = {"crop": "center", "sampling_rate": 8000, "mask_colors": ("#FF0000", "00ff00", "0000ff")}
    path = export.savedmodel(model, tmp_path / "name", NAMES, **facts)
    classifier = inference.load(path)
    assert (classifier.crop, classifier.sampling_rate) == ("center", 8000)
    assert classifier.mask_colors == ("ff0000", "00ff00", "0000ff")
    # As an earlier version has written it, and with a window that does not exist.
    file = path / "assets.extra" / "network.json"
    content = json.loads(file.read_text())
    file.write_text(json.dumps({name: value for name, value in content.items() if name not in facts}))
    classifier = inference.load(path)
    assert (classifier.crop, classifier.sampling_rate, classifier.mask_colors) == (None, None, None)
    file.write_text(json.dumps({**content, "crop": "left"}))
    with pytest.raises(ValueError, match=r"crop must be .* Received: "):
        inference.load(path)


def test_another_saved_model_is_refused(tmp_path, folder):
    models.ParabolicCNN((8, 8, 1), classes=3, widths=(4,), steps=1).export(tmp_path / "keras", verbose=False)
    (tmp_path / "damaged").mkdir()
    content = (folder / "parabolic" / "1" / "saved_model.pb").read_bytes()
    (tmp_path / "damaged" / "saved_model.pb").write_bytes(content[: len(content) // 2])
    for name in ("keras", "damaged"):
        with pytest.raises(ValueError, match=rf"Not an exported SavedModel.*Received: '.*{name}'"):
            inference.load(tmp_path / name)
