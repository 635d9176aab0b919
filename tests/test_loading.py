"""Loading of .keras files that may be damaged or hostile, and a sample of the cases of fuzz.py."""

import io
import json
import os
import pathlib
import zipfile

import fuzz
import h5py
import keras
import numpy as np
import pytest

from keras_pdecnn import inference, layers, models
from keras_pdecnn.models import loading


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Return the path of a small model."""
    path = tmp_path_factory.mktemp("model") / "model.keras"
    models.HamiltonianCNN((8, 8, 1), classes=3, widths=(4,), steps=2, time_smoothness=1e-3, box=1.0).save(path)
    return path


def members(path):
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def write(path, entries):
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return path


def changed(saved, path, change):
    """Write a model whose configuration was changed in place by a function."""
    entries = members(saved)
    config = json.loads(entries["config.json"])
    change(config)
    return write(path, {**entries, "config.json": json.dumps(config)})


def layer_of(config, name):
    return next(layer for layer in config["config"]["layers"] if layer["name"] == name)


@pytest.mark.parametrize("policy", ["float32", "mixed_float16"])
def test_every_network_loads(tmp_path, policy, rng):
    x = rng.uniform(0, 255, (2, 8, 8, 1))
    keras.config.set_dtype_policy(policy)
    for name, build in models.ARCHITECTURES.items():
        model = build((8, 8, 1), classes=3, widths=(4,), steps=1, weight_decay=1e-3, activation="gelu")
        model.compile(keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam(1e-3)), "mse", metrics=["accuracy"])
        model.save(tmp_path / f"{name}.keras")
        loaded = loading.load_model(tmp_path / f"{name}.keras")
        assert loaded.compiled
        np.testing.assert_array_equal(loaded(x), model(x))
        assert not loading.load_model(tmp_path / f"{name}.keras", compile=False).compiled


def test_models_of_ones_own_load(tmp_path):
    inputs = keras.Input((8, 8, 1))
    y = keras.layers.Flatten()(layers.ParabolicBlock(1)(layers.Connector(4)(inputs)))
    functional = keras.Model(inputs, keras.layers.Dense(3, activation="softmax")(y))
    sequential = keras.Sequential([keras.Input((8, 8, 1)), layers.Connector(4), keras.layers.Dropout(0.5)])
    nested = keras.Model(inputs, keras.layers.Dense(2)(functional(inputs)))
    for index, model in enumerate((functional, sequential, nested)):
        model.save(tmp_path / f"{index}.keras")
        assert loading.load_model(tmp_path / f"{index}.keras").output_shape == model.output_shape


def test_a_lambda_with_code_is_refused_and_runs_nothing(tmp_path):
    path = str(tmp_path / "proof")
    inputs = keras.Input((8, 8, 1))
    code = keras.layers.Lambda(lambda x: (open(path, "w").close(), x)[1], output_shape=(8, 8, 1))
    model = keras.Model(inputs, code(inputs))
    pathlib.Path(path).unlink(missing_ok=True)
    model.save(tmp_path / "model.keras")
    with pytest.raises(ValueError, match=r"Lambda.*Received: '.*model\.keras'"):
        loading.load_model(tmp_path / "model.keras")
    assert not os.path.exists(path)


@pytest.mark.parametrize(
    "entry",
    [
        {"module": "evil_package.layers", "class_name": "Evil", "registered_name": "evil>Evil"},
        {"module": "keras_pdecnn.layers", "class_name": "Evil", "registered_name": "evil>Evil"},
        {"module": "keras_pdecnn.evil", "class_name": "Evil", "registered_name": "keras_pdecnn>Evil"},
        {"module": "keras.layers", "class_name": "Dense", "registered_name": "evil>Evil"},
        {"module": "keras.layers", "class_name": "TFSMLayer", "registered_name": None},
        {"module": "keras.layers", "class_name": "StringLookup", "registered_name": None},
        {"module": "keras.src.utils", "class_name": "get_file", "registered_name": None},
        {"module": "os", "class_name": "function", "config": "system", "registered_name": "system"},
        {"module": "builtins", "class_name": "function", "config": "evil", "registered_name": "evil>Evil"},
        {"module": None, "class_name": "__lambda__", "config": {"value": ["YQ==", None, None]}},
        {"module": ["os"], "class_name": {"a": 1}, "registered_name": []},
    ],
    ids=str,
)
def test_an_object_of_another_module_is_refused_before_anything_is_imported(saved, tmp_path, monkeypatch, entry):
    (tmp_path / "evil_package").mkdir()
    for name in ("__init__", "layers"):
        (tmp_path / "evil_package" / f"{name}.py").write_text(f"open({str(tmp_path / 'proof')!r}, 'w')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(keras.saving.get_custom_objects(), "evil>Evil", keras.layers.Dense)
    loads = []
    monkeypatch.setattr(keras.saving, "load_model", lambda *args, **kwargs: loads.append(args))
    monkeypatch.setattr(keras.saving, "deserialize_keras_object", lambda *args, **kwargs: loads.append(args))
    for name in ("classifier", "block_1"):
        path = changed(saved, tmp_path / "model.keras", lambda config, name=name: layer_of(config, name).update(entry))
        with pytest.raises(ValueError, match=r"it refers to .* plain object of Keras.*Received: '.*model\.keras'"):
            loading.load_model(path)
    assert not loads
    assert not (tmp_path / "proof").exists()


def test_one_wrong_bit_in_a_weight_is_noticed(saved, tmp_path):
    content = bytearray(saved.read_bytes())
    kernel = keras.saving.load_model(saved).get_layer("classifier").kernel.numpy().tobytes()
    content[content.index(kernel) + 3] ^= 1
    path = tmp_path / "model.keras"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"CRC.*Received: '.*model\.keras'"):
        loading.load_model(path)


def test_weights_of_another_network_are_refused(saved, tmp_path):
    models.HamiltonianCNN((8, 8, 1), classes=3, widths=(6,), steps=2).save(tmp_path / "other.keras")
    entries = {**members(saved), "model.weights.h5": members(tmp_path / "other.keras")["model.weights.h5"]}
    with pytest.raises(ValueError, match=r"Received: '.*model\.keras'"):
        loading.load_model(write(tmp_path / "model.keras", entries))


@pytest.mark.parametrize("kind", ["external", "virtual", "ExternalLink", "SoftLink", "missing"])
def test_weights_that_are_not_in_the_file(saved, tmp_path, kind, recwarn):
    entries = members(saved)
    content = io.BytesIO(entries["model.weights.h5"])
    with h5py.File(content, "r+") as file:
        names = []
        file.visititems(lambda name, item: names.append(name) if "kernel" in name or name.endswith("/0") else None)
        place = next(name for name in names if isinstance(file[name], h5py.Dataset))
        shape, dtype = file[place].shape, file[place].dtype
        del file[place]
        if kind == "external":
            file.create_dataset(place, shape, dtype, external=[("/dev/zero", 0, h5py.h5f.UNLIMITED)])
        elif kind == "virtual":
            layout = h5py.VirtualLayout(shape, dtype)
            layout[...] = h5py.VirtualSource("none.h5", "x", shape)
            file.create_virtual_dataset(place, layout)
        elif kind != "missing":
            file[place] = h5py.ExternalLink("none.h5", "/x") if kind == "ExternalLink" else h5py.SoftLink("/x")
    path = write(tmp_path / "model.keras", {**entries, "model.weights.h5": content.getvalue()})
    messages = {
        "external": "another file",
        "virtual": "another file",
        "missing": "bytes of weights|could not be loaded",
    }
    with pytest.raises(ValueError, match=rf"({messages.get(kind, 'as a link')}).*Received: '.*model\.keras'"):
        loading.load_model(path)
    assert not recwarn.list  # the error says all


@pytest.mark.parametrize("value", ["system", {"x": 1}, [1]], ids=str)
def test_a_layer_that_is_not_built_is_noticed(saved, tmp_path, value):
    change = lambda config: layer_of(config, "block_1").update(build_config=value)  # noqa: E731
    with pytest.raises(ValueError, match=r"Not a readable model .*Received: '.*model\.keras'"):
        loading.load_model(changed(saved, tmp_path / "model.keras", change))


def test_nothing_is_predicted_with_weights_that_are_no_numbers(saved, tmp_path):
    model = loading.load_model(saved)
    model.get_layer("classifier").bias.assign([0.0, np.nan, 0.0])
    model.save(tmp_path / "model.keras")
    with pytest.raises(ValueError, match=r"weights of the model are not finite. Received: '.*model\.keras'"):
        inference.load(tmp_path / "model.keras")
    assert inference.load(saved).input_shape == (8, 8, 1)


@pytest.mark.parametrize(("name", "argument"), [("block_1", "steps"), ("classifier", "units"), ("opening", "filters")])
def test_a_network_larger_than_its_weights_is_not_made(saved, tmp_path, name, argument):
    def enlarge(config):
        layer_of(config, name)["config"][argument] = 10**8

    path = changed(saved, tmp_path / "model.keras", enlarge)
    with pytest.raises(ValueError, match=r"Received: '.*model\.keras'"):
        loading.load_model(path)


def test_members_are_not_unpacked_beyond_their_limits(saved, tmp_path):
    entries = members(saved)
    for name, content, message in (
        ("assets/x", b"", "unexpected member 'assets/x'"),
        ("metadata.json", b" " * 2**21, "metadata.json declares"),
        ("config.json", b"[" * 10**5, "recursion"),
    ):
        path = write(tmp_path / "model.keras", {**entries, name: content})
        with pytest.raises(ValueError, match=message):
            loading.load_model(path)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries.items():
            archive.writestr(name, content if name != "model.weights.h5" else bytes(10**8))
    with pytest.raises(ValueError, match=r"model.weights.h5 declares 100,000,000 bytes"):
        loading.load_model(path)


def test_what_is_no_file(tmp_path):
    for path, message in ((tmp_path, "not a regular file"), (tmp_path / "none.keras", "does not exist")):
        with pytest.raises(ValueError, match=message + r".*Received: "):
            loading.load_model(path)


@pytest.mark.slow
def test_a_sample_of_damaged_files(tmp_path):
    outcomes = []
    # Groups in which every command occurs.
    wanted = {}
    for group in range(200):
        wanted.setdefault(fuzz.command_of(group * fuzz.BATCH), group)
    assert set(wanted) == set(fuzz.COMMANDS)
    originals = fuzz.Originals(tmp_path)
    for command, group in wanted.items():
        together = command in ("predict npz", "predict image", "predict wav")
        count = fuzz.BATCH if together else 3
        folder = pathlib.Path(tmp_path, f"cases{group}")
        folder.mkdir()
        numbers = range(group * fuzz.BATCH, group * fuzz.BATCH + count)
        outcomes += fuzz.run_group(list(numbers), originals, folder)
    assert not [case for case in outcomes if case["outcome"] not in ("refused", "used")]
    assert sum(case["outcome"] == "refused" for case in outcomes) > 50


def test_a_file_that_does_not_exist(tmp_path):
    with pytest.raises(ValueError, match=r"^The model does not exist\. Received: '.*nowhere\.keras'$"):
        models.load_model(tmp_path / "nowhere.keras")
