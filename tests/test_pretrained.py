"""Networks that start from trained weights: those of the package and those of files."""

import json
import shutil

import keras
import numpy as np
import pytest

from keras_pdecnn import models
from keras_pdecnn.models import pretrained, weight_files

SETTINGS = {"widths": (4, 6), "steps": 2}
PRETRAINED = sorted(pretrained.FOLDER.glob("*/*.keras"))


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Return a folder with the weights of a network in every form, and the network."""
    folder = tmp_path_factory.mktemp("trained")
    model = models.HamiltonianCNN((8, 8, 3), classes=5, **SETTINGS)
    rng = np.random.default_rng(0)
    for weight in model.weights:
        weight.assign(rng.uniform(0.1, 1, weight.shape))
    model.compile("sgd", "sparse_categorical_crossentropy")
    (folder / "run").mkdir()
    model.save(folder / "run" / "model.keras")
    shutil.copy(folder / "run" / "model.keras", folder / "network.keras")
    model.save_weights(folder / "network.weights.h5")
    return folder, model


@pytest.mark.parametrize("file", ["network.keras", "network.weights.h5", "run"])
def test_weights_of_a_file(trained, file):
    folder, model = trained
    same = models.HamiltonianCNN((8, 8, 3), classes=5, weights=folder / file, **SETTINGS)
    for weight, expected in zip(same.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(weight, expected)


def test_without_top_the_classifier_is_left_out(trained):
    folder, model = trained
    features = models.HamiltonianCNN(
        (16, 16, 3), include_top=False, pooling="avg", weights=str(folder / "network.keras"), **SETTINGS
    )
    expected = model.get_weights()[:-2]  # all but kernel and bias of the classifier
    for weight, value in zip(features.get_weights(), expected, strict=True):
        np.testing.assert_array_equal(weight, value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"classes": 7}, "trained for 5 classes, the network has 7. With include_top=False"),
        ({"input_shape": (8, 8, 1)}, "trained for inputs of 3 channels, the network takes 1"),
        (
            {"widths": (4, 8)},
            r"hamiltonian_block_1 has the shape \(2, 2, 3, 3, 3, 3\) in the file and \(2, 2, 3, 3, 4",
        ),
        ({"widths": (4, 6, 6)}, "the network has a layer hamiltonian_block_2 with weights that the file has not"),
        ({"widths": (4,)}, "the file has a layer hamiltonian_block_1 with weights that the network has not"),
        ({"steps": 3}, "the layer hamiltonian_block has the shape"),
        ({"activation": "tanh"}, "trained with activation='relu', the network has activation='tanh'"),
        ({"step_size": 0.5}, r"trained with a final time .* of 2.0, the network has 1.0"),
        ({"provable": True}, r"the layer connector_1 has the shape \(1, 1, 4, 6\) in the file and \(1, 1, 16, 6\)"),
    ],
)
def test_weights_that_do_not_fit(trained, changes, message):
    arguments = {"input_shape": (8, 8, 3), "classes": 5, **SETTINGS, **changes}
    with pytest.raises(ValueError, match=f"The weights do not fit this HamiltonianCNN: .*{message}"):
        models.HamiltonianCNN(weights=trained[0] / "network.keras", **arguments)


def saved(build, path, shape, **settings):
    """Save a network, and return a function that builds one of other settings with its weights."""
    build(shape, **settings).save(path)
    return lambda **changes: build(shape, **{"weights": path, **settings, **changes})


@pytest.mark.parametrize(
    ("former", "changes", "message"),
    [
        ({}, {"scheme": "heun"}, "trained with scheme=None, the network has scheme='heun'"),
        ({"time_basis": "linear"}, {"sampling": "midpoint"}, "trained with sampling='left', the network has sampling"),
        ({}, {"backprop": "reversible"}, "trained with backprop='stored', the network has backprop='reversible'"),
        ({"backprop": "reversible"}, {"coupling": 0.9}, "trained with coupling=None, the network has coupling=0.9"),
        (
            {},
            {"opening_stride": 2},
            "in the layer opening, they were trained with strides=1, the network has strides=2",
        ),
        (
            {"opening_stride": (2, 1)},
            {"opening_stride": 1},
            r"trained with strides=\[2, 1\], the network has strides=1",
        ),
        (
            {},
            {"pool": (1, 1)},
            "in the layer connector_1, they were trained with pool_size=2, the network has pool_size",
        ),
        (
            {"provable": True, "widths": (4,)},
            {"orthogonal": True},
            "in the layer opening, they were trained with activation='relu', the network has activation=None",
        ),
    ],
)
def test_weights_of_another_function(tmp_path, former, changes, message):
    settings = {"classes": 2, "backprop": "stored", **SETTINGS, **former}
    build = saved(models.ParabolicCNN, tmp_path / "network.keras", (8, 8, 1), **settings)
    with pytest.raises(ValueError, match=f"The weights do not fit this ParabolicCNN: .*{message}"):
        build(**changes)


def test_weights_of_another_spectrogram(tmp_path):
    settings = {"classes": 2, "spectrogram": 16, **SETTINGS}
    build = saved(models.ParabolicCNN, tmp_path / "network.keras", (200, 1), **settings)
    build(spectrogram_step=8)
    with pytest.raises(ValueError, match="trained with spectrogram_step=8, the network has spectrogram_step=4"):
        build(spectrogram_step=4)


def test_weights_of_another_restoration(tmp_path):
    settings = {"outputs": 1, "restoration": True, "max_value": 255, **SETTINGS}
    build = saved(models.ParabolicUNet, tmp_path / "network.keras", (8, 8, 1), **settings)
    with pytest.raises(ValueError, match=r"trained with max_value=255.0, the network has max_value=1.0"):
        build(max_value=1)
    with pytest.raises(ValueError, match="trained with restoration=True, the network has restoration=False"):
        build(restoration=False, include_preprocessing=False, max_value=1)


def test_weights_serve_every_gradient_and_other_strides_of_equal_size(tmp_path):
    settings = {"classes": 2, "backprop": "reversible", "opening_stride": (2, 2), **SETTINGS}
    build = saved(models.HamiltonianCNN, tmp_path / "network.keras", (8, 8, 1), **settings)
    build(backprop="stored", opening_stride=2, classifier_activation=None, dropout=0.5)
    build(include_preprocessing=False)  # of examples that the user standardises
    # Copies of a network may have other names of layers.
    copy = keras.models.clone_model(models.load_model(tmp_path / "network.keras"))
    copy.save(tmp_path / "copy.keras")
    build(weights=tmp_path / "copy.keras")


def test_weights_of_steps_that_go_farther(tmp_path):
    """The time of a cycle of the accelerated scheme grows with the square of its number of steps."""
    settings = {"classes": 2, "widths": (4,), "scheme": "accelerated", "time_basis": "linear", "basis_size": 2}
    build = saved(models.ParabolicCNN, tmp_path / "network.keras", (8, 8, 1), **settings, steps=2, step_size=1.0)
    build(steps=3, step_size=0.5)
    with pytest.raises(ValueError, match=r"trained with a final time .* of 2.0, the network has 2.6"):
        build(steps=3, step_size=2 / 3)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ("cifar", r"the name of trained weights of a HamiltonianCNN, of which there are: .*Received: weights='cifar'"),
        ("missing.keras", "The file of the weights does not exist. Received: weights='missing.keras'"),
        ("missing/weights", "The file of the weights does not exist"),
        (3, "the name of trained weights or a path. Received: weights=3"),
    ],
)
def test_weights_that_do_not_exist(weights, message):
    with pytest.raises(ValueError, match=message):
        models.HamiltonianCNN((8, 8, 3), classes=5, weights=weights, **SETTINGS)


@pytest.mark.parametrize("name", ["network.keras", "network.weights.h5"])
def test_damaged_weights(trained, tmp_path, name):
    path = tmp_path / name
    path.write_bytes((trained[0] / name).read_bytes()[:-3000])
    with pytest.raises(ValueError, match=r"Not readable weights .*Received: weights="):
        models.HamiltonianCNN((8, 8, 3), classes=5, weights=path, **SETTINGS)


def test_a_run_without_a_model(tmp_path):
    with pytest.raises(ValueError, match="The model of the run does not exist"):
        models.HamiltonianCNN((8, 8, 3), classes=5, weights=tmp_path, **SETTINGS)


def test_the_names_of_layers_in_files(trained):
    folder, model = trained
    groups = weight_files.group_names(model)
    assert (groups["opening"], groups["block_2"]) == ("connector", "hamiltonian_block_1")
    stored = weight_files.StoredWeights.read(folder / "network.keras", "")
    assert {name.partition("/")[0] for name in stored.shapes} == {groups[x.name] for x in model.layers if x.weights}


def test_an_error_leaves_the_network_as_it_is(trained):
    _, model = trained
    before = model.get_weights()
    with pytest.raises(KeyError), weight_files.opened(model) as layers:
        layers["dense/vars/0"][...] = 0
        raise KeyError
    for weight, expected in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weight, expected)


def test_the_package_has_weights():
    names = {path.relative_to(pretrained.FOLDER).with_suffix("").as_posix() for path in PRETRAINED}
    assert names == {"cifar10/HamiltonianCNN", "cifar10/ParabolicCNN", "cifar10/SecondOrderCNN"}


@pytest.mark.parametrize("path", PRETRAINED, ids=lambda path: path.stem)
def test_weights_of_the_package(path):
    record = pretrained.record(path.parent.name, path.stem)
    model = getattr(models, path.stem)(**record["settings"], weights=path.parent.name)
    assert sum(int(np.prod(w.shape)) for w in model.trainable_weights) == record["trainable_weights"]
    assert all(np.isfinite(weight).all() for weight in model.get_weights())
    assert len(record["classes"]) == model.output_shape[-1]
    assert record["command"].startswith("keras-pdecnn train ")
    assert 0.5 < record["accuracy"] < 1


def test_weights_with_a_wrong_checksum(monkeypatch, tmp_path):
    shutil.copytree(pretrained.FOLDER, tmp_path / "weights")
    monkeypatch.setattr(pretrained, "FOLDER", tmp_path / "weights")
    record = tmp_path / "weights" / "cifar10" / "HamiltonianCNN.json"
    record.write_text(json.dumps({**json.loads(record.read_text()), "sha256": "0"}))
    with pytest.raises(ValueError, match="its checksum is not the recorded one"):
        models.HamiltonianCNN((32, 32, 3), 10, weights="cifar10")


def test_weights_serve_channels_first_and_other_policies(trained):
    folder, model = trained
    keras.config.set_dtype_policy("float64")
    keras.config.set_image_data_format("channels_first")
    same = models.HamiltonianCNN((3, 8, 8), classes=5, weights=folder / "network.keras", **SETTINGS)
    x = np.random.default_rng(1).uniform(0, 255, (2, 8, 8, 3))
    expected = model.predict(x, verbose=0)
    np.testing.assert_allclose(same.predict(x.transpose(0, 3, 1, 2), verbose=0), expected, atol=1e-5)
