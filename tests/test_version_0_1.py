"""Files that version 0.1 wrote load, predict, train on and resume as they did then; data/version_0_1 has them.

Figures are compared bit for bit where this machine, Keras and TensorFlow round as those did that made them, and else to
a few units of what rounding may do.
"""

import json
import pathlib
import shutil
import zipfile

import click.testing
import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers import rounding

import keras_pdecnn as pde
from keras_pdecnn import cli
from keras_pdecnn.runs import RunFolder

DATA = pathlib.Path(__file__).parent / "data" / "version_0_1"
MODELS = sorted(path.relative_to(DATA).as_posix() for path in DATA.rglob("*.keras"))
# The steps of provable networks take long to trace; one of them is among the fast tests.
SLOW = ["networks/provable_hamiltonian.keras", "networks/provable_parabolic.keras"]
REFERENCE = json.loads((DATA / "figures.json").read_text())

# All that version 0.1 registers with Keras and writes into files.
CLASSES = {
    *("Box", "Connector", "ConstantInTime", "HamiltonianBlock", "LeastSquares", "NormalizedDense", "PDEModel"),
    *("ParabolicBlock", "ResidualBlock", "SecondOrderBlock", "Standardization", "SymmetricConv", "TVNormalization"),
    "TimeSmoothness",
}


@pytest.fixture(scope="module", autouse=True)
def determinism():
    """Compute as the command line does, and as the figures were made."""
    tf.config.experimental.enable_op_determinism()


@pytest.fixture(scope="module")
def figures():
    with np.load(DATA / "figures.npz") as archive:
        return dict(archive)


@pytest.fixture(scope="module")
def is_exact():
    """Return whether bits can be compared."""
    return rounding.fingerprint() == REFERENCE["fingerprint"]


@pytest.fixture(scope="module")
def assert_same(is_exact):
    """Return a function that compares arrays, bit for bit where that can be."""

    def compare(found, expected, tolerance=1e-5):
        if is_exact:
            np.testing.assert_array_equal(found, expected)
        np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance)

    return compare


def invoke(command, *arguments):
    done = click.testing.CliRunner().invoke(cli.main, [*command.split(), *map(str, arguments)])
    assert done.exit_code == 0, done.output
    return done.stdout


def read_config(name):
    with zipfile.ZipFile(DATA / name) as archive:
        return json.loads(archive.read("config.json"))


def registered(config):
    """Return the names of the classes of this package in a configuration."""
    entries = config.values() if isinstance(config, dict) else config if isinstance(config, list) else ()
    found = set().union(*map(registered, entries))
    name = (config.get("registered_name") or "") if isinstance(config, dict) else ""
    return found | ({name.removeprefix("keras_pdecnn>")} if name.startswith("keras_pdecnn>") else set())


def test_every_class_is_in_a_file():
    assert len(MODELS) == 11
    assert set().union(*(registered(read_config(name)) for name in MODELS)) == CLASSES


@pytest.mark.parametrize("name", [pytest.param(name, marks=[pytest.mark.slow] * (name in SLOW)) for name in MODELS])
def test_a_network_is_what_it_was(name, figures, assert_same):
    model = pde.models.load_model(DATA / name)
    other = keras.models.load_model(DATA / name)
    assert type(model).__name__ == type(other).__name__ == ("Functional" if "own" in name else "PDEModel")
    for layer, stored in zip(model.layers, read_config(name)["config"]["layers"], strict=True):
        config = json.loads(json.dumps(layer.get_config(), default=str))
        # Objects are named by their modules, and a setting may be gone.
        settings = {key for key, value in stored["config"].items() if key in config and not isinstance(value, dict)}
        assert {key: config[key] for key in settings} == {key: stored["config"][key] for key in settings}
    variables = [*model.variables, *model.optimizer.variables]
    others = [*other.variables, *other.optimizer.variables]
    assert all(np.array_equal(a, b) for a, b in zip(variables, others, strict=True))

    tolerance = 0.02 if "bfloat16" in name else 1e-5
    predictions = model.predict(figures["x"], verbose=0)
    assert predictions.dtype == "float32"
    assert_same(predictions, figures[f"{name}/predictions"], tolerance)
    if "provable" in name:
        radius, before = pde.stability.certified_radius(model, figures["x"]), figures[f"{name}/certified_radius"]
        if "parabolic" not in name:
            # The bounds of hyperbolic blocks have become smaller since, by a factor that is the same for all examples.
            factor = np.max(radius / before)
            assert 1 <= factor <= (1.14 if "hamiltonian" in name else 1.08)
            before = factor * before
        # The allowance for rounding errors has grown since.
        np.testing.assert_allclose(radius, before, rtol=0, atol=1e-4)
        assert np.all(radius <= before * (1 + 1e-5))
    # Another step depends on the momentum of the first one, and moves the batch statistics.
    other.train_on_batch(figures["x_next"], figures["y_next"])
    weights = np.concatenate([weight.ravel() for weight in other.get_weights()])
    assert_same(weights, figures[f"{name}/next_weights"], tolerance)


@pytest.mark.parametrize("name", ["interrupted_run", "finished_run"])
def test_the_configuration_of_a_run(name):
    stored = json.loads((DATA / name / "config.json").read_text())
    recipe, info = RunFolder(DATA / name).read_config()
    settings = recipe.to_dict()
    loss = stored["recipe"].pop("loss")  # may have another name by now
    assert {key: settings[key] for key in stored["recipe"]} == stored["recipe"]
    assert (info.name, info.input_shape, info.classes, info.sizes) == ("digits", (8, 8, 1), 10, stored["data"]["sizes"])
    model = pde.training.compile(pde.training.build(recipe, info), recipe, 1)
    assert isinstance(model.loss, pde.losses.LeastSquares) == (loss == "regression")
    assert model.layers[-1].activation is (
        keras.activations.linear if loss == "regression" else keras.activations.softmax
    )


def test_an_interrupted_run_goes_on(tmp_path, figures, assert_same):
    run = RunFolder(shutil.copytree(DATA / "interrupted_run", tmp_path / "run"))
    invoke(REFERENCE["commands"]["interrupted_run"], "--output", run.path)
    model = run.load_model()
    found = {
        **{f"weights/{i:02d}": value for i, value in enumerate(model.get_weights())},
        **{f"optimizer/{i:02d}": np.asarray(value) for i, value in enumerate(model.optimizer.variables)},
        **{f"history/{key}": values for key, values in run.read_history().items()},
    }
    expected = {key.partition("/")[2]: value for key, value in figures.items() if key.startswith("interrupted_run/")}
    assert set(found) == set(expected)
    for key, value in expected.items():
        assert_same(found[key], value, 1e-3)


def test_a_finished_run_of_regression(tmp_path, figures, assert_same):
    """Its loss was named regression by version 0.1, in the folder and on the command line."""
    run = RunFolder(DATA / "finished_run")
    np.savez(tmp_path / "digits.npz", x=figures["x"])
    rows = json.loads(invoke("predict --format json", run.path, tmp_path / "digits.npz"))["predictions"]
    scores = figures["finished_run/model.keras/predictions"]
    assert [row["class"] for row in rows] == scores.argmax(-1).tolist()
    np.testing.assert_allclose([row["score"] for row in rows], scores.max(-1), atol=1e-5)

    # As if it had been stopped in its last epoch.
    part = RunFolder(shutil.copytree(run.path, tmp_path / "part"))
    for path in (part.model, part.metrics, max(part.checkpoints.iterdir())):
        path.unlink()
    invoke(REFERENCE["commands"]["finished_run"], "--resume", "--output", part.path)
    for found, expected in zip(part.load_model().get_weights(), run.load_model().get_weights(), strict=True):
        assert_same(found, expected, 1e-3)
    assert_same(part.read_metrics()["loss"], run.read_metrics()["loss"], 1e-3)


@pytest.mark.slow
def test_an_interrupted_search_goes_on(tmp_path, is_exact):
    folder = shutil.copytree(DATA / "interrupted_search", tmp_path / "search")
    ended = (folder / "trial_0" / "trial.json").read_bytes()
    invoke(REFERENCE["commands"]["interrupted_search"], "--output", folder)
    assert (folder / "trial_0" / "trial.json").read_bytes() == ended
    trials = [json.loads(path.read_text()) for path in sorted(folder.glob("trial_*/trial.json"))]
    expected = REFERENCE["search"]
    assert [trial["status"] for trial in trials] == ["COMPLETED"] * 3
    assert [trial["hyperparameters"]["values"] for trial in trials] == expected["values"]
    (best,) = folder.glob("best-*")
    assert best.name == f"best-{max(trials, key=lambda trial: trial['score'])['trial_id']}"
    if is_exact:  # so short a training tells classes hardly apart, and rounding decides
        assert [trial["score"] for trial in trials] == expected["scores"]
        assert RunFolder(best).read_metrics()["accuracy"] == expected["accuracy"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["networks/provable_parabolic.keras", "networks/time_basis.keras"])
def test_a_network_is_exported(name, tmp_path, figures):
    path = pde.export.savedmodel(pde.models.load_model(DATA / name), tmp_path / "exported")
    serve = tf.saved_model.load(path).signatures["serving_default"]
    probabilities = serve(image=tf.constant(figures["x"]))["probabilities"]
    np.testing.assert_allclose(probabilities, figures[f"{name}/predictions"], atol=1e-5)
