"""The command line: what it prints, its exit codes, and that wrong input is one line."""

import csv
import dataclasses
import json
import os
import pathlib
import re
import shlex
import subprocess
import sys
import wave

import click.testing
import keras
import numpy as np
import pytest
from PIL import Image

from keras_pdecnn import cli, data, inference, models, training, tuning
from keras_pdecnn.cli import progress, settings
from keras_pdecnn.cli.predict import after
from keras_pdecnn.networks import NETWORKS
from keras_pdecnn.recipes import RECIPES, Recipe, for_source
from keras_pdecnn.runs import RunFolder
from keras_pdecnn.tasks import TASKS


def small(**changes):
    """Return the options of a network that is trained in seconds."""
    settings = {"architecture": "parabolic", "widths": 4, "steps": 1, "epochs": 20, "learning_rates": 0.1}
    settings |= {"batch_size": 8, "pad": 0, **changes}
    return [word for name, value in settings.items() for word in ("--" + name.replace("_", "-"), str(value))]


SMALL = small()


def invoke(*arguments):
    return click.testing.CliRunner().invoke(cli.main, list(map(str, arguments)))


def stripes(side):
    """Return an image of 0 and 1 with lying stripes, four of them bright."""
    return np.repeat((np.arange(side) // (side // 8) % 2)[:, None], side, axis=1)


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    """Return the path of a small data set: 8 x 8 images with stripes, lying (class 0) or standing (class 1)."""
    y = np.arange(64) % 2
    x = np.random.default_rng(0).integers(0, 60, (64, 8, 8, 1))
    x[y == 0] += 120 * stripes(8)[:, :, None]
    x[y == 1] += 120 * stripes(8).T[:, :, None]
    path = tmp_path_factory.mktemp("data") / "bars.npz"
    x = x.astype(np.uint8)
    np.savez(path, x_train=x, y_train=y, x_test=x[:10], y_test=y[:10], class_names=["lying", "standing"])
    return path


@pytest.fixture(scope="module")
def run(archive, tmp_path_factory):
    """Return the folder of a small trained network."""
    path = tmp_path_factory.mktemp("runs") / "bars"
    done = invoke("train", archive, *SMALL, "--output", path, "--verbose", 0)
    assert done.exit_code == 0, done.output
    return path


@pytest.fixture
def chosen(monkeypatch, tmp_path):
    """Return a function that gives the recipe and folder a command line asks for, without training."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.npz").touch()

    def choose(*arguments):
        asked = []

        def stop(recipe, folder, **others):
            asked.extend([recipe, folder])
            raise ValueError("asked")

        monkeypatch.setattr(training, "run", stop)
        done = invoke("train", *arguments)
        assert "asked" in done.stderr, done.output
        return asked

    return choose


def test_train_without_an_argument_is_the_hamiltonian_network_on_the_digits(chosen):
    recipe, folder = chosen()
    assert recipe == Recipe() == RECIPES["digits"]
    assert recipe.architecture == "hamiltonian"
    assert folder is None


def test_the_recipe_follows_the_data_set(chosen):
    assert chosen("stl10", "--recipe", "published")[0] == RECIPES["stl10"]
    assert chosen("stl10")[0] == RECIPES["stl10-own"]
    assert chosen("--recipe", "cifar100")[0] == RECIPES["cifar100"]
    assert chosen("cifar10")[0] == chosen("cifar10", "--recipe", "own")[0] == RECIPES["cifar10-own"]
    assert chosen("cifar10", "--recipe", "published")[0] == chosen("--recipe", "cifar10")[0] == RECIPES["cifar10"]
    assert chosen("x.npz", "--recipe", "cifar10")[0] == dataclasses.replace(RECIPES["cifar10"], data="x.npz")


def test_a_recipe_has_other_sizes_for_other_networks(chosen):
    recipe, _ = chosen("spoken_digit", "--architecture", "residual", "--epochs", "2")
    assert recipe == for_source("spoken_digit", architecture="residual").with_settings(epochs=2)
    assert (recipe.widths, recipe.steps, recipe.epochs) == ((24, 24, 32, 48), 1, (2,))
    assert chosen("spoken_digit", "--architecture", "parabolic", "--widths", "4,8", "--steps", "3")[0].widths == (4, 8)


def test_every_field_is_an_option(chosen):
    wanted = Recipe(
        data="x.npz",
        data_dir="/data",
        size=(8, 6),
        crop="random",
        crop_area=0.5,
        in_memory=True,
        validation=0.25,
        batch_size=3,
        drop_remainder=True,
        flip=True,
        pad=0.3,
        rotate=45.0,
        zoom=0.2,
        seed=7,
        architecture="second_order",
        widths=(4, 8, 16),
        head_width=5,
        steps=(1, 2, 3),
        step_size=(0.1, "auto", 0.3),
        max_step_size=0.5,
        time_basis="cosine",
        basis_size=2,
        kernel_size=(3, 5),
        activation="tanh",
        normalization="shrinkage",
        padding="periodic",
        backprop="stored",
        time_smoothness=0.1,
        weight_decay=0.2,
        box=0.5,
        synchronized=True,
        provable=True,
        lipschitz=1.5,
        dtype="mixed_bfloat16",
        loss="regression",
        learning_rates=(0.3, 0.2),
        epochs=(1, 2),
        momentum=0.5,
        time_shift=0.1,
        gain=0.2,
        noise=0.3,
        cutout=0.4,
        time_mask=0.1,
        frequency_mask=0.2,
        rand_augment=2,
        rand_augment_magnitude=0.4,
        optimizer="adamw",
        gradient_clip=2.0,
        ema=0.9,
        recalibrate=True,
        evaluate_flipped=True,
        refinement=("1:1:1/2",),
        sampling_rate=8000,
        skip_unreadable=True,
        opening_kernel_size=(5, 3),
        opening_stride=2,
        opening_width=6,
        dropout=0.3,
    )
    # Settings that do not go with some of those.
    others = {"nesterov": True, "label_smoothing": 0.1, "mixup": 0.2, "cutmix": 1.0, "warmup": 0.1}
    others |= {"schedule": "one_cycle", "learning_rates": (0.3,), "epochs": (2,)}
    others |= {"spectrogram": 64, "spectrogram_step": 16}
    restored = {"task": "restoration", "degradation": "noise:25", "patch": (16, 8), "patches": 4}
    restored |= {"mask_colors": ("000000", "ff8000")}
    certified = {
        "provable": True,
        "orthogonal": True,
        "normalization": None,
        "loss": "margin",
        "architecture": "parabolic",
    }
    certified |= {"margin": 0.5, "temperature": 0.2}
    recipes = [wanted, Recipe(data="x.npz", **others), Recipe(data="x.npz").with_settings(**restored)]
    recipes.append(Recipe(data="x.npz", **certified))
    default = Recipe()
    changed = [{name for name, value in vars(recipe).items() if value != getattr(default, name)} for recipe in recipes]
    missing = {field.name for field in dataclasses.fields(Recipe)} - set().union(*changed)
    assert not missing, f"{missing} have their defaults"
    for recipe, names in zip(recipes, changed, strict=True):
        assert_chosen(chosen, recipe, names)


def assert_chosen(chosen, wanted, names):
    """Assert that the options of a command line give a recipe, whose settings with these names are not the defaults."""
    arguments = ["x.npz", "--recipe", "digits"]
    for field in dataclasses.fields(Recipe)[1:]:
        if field.name not in names:
            continue
        value = getattr(wanted, field.name)
        option = "--" + field.name.replace("_", "-")
        if value is True:
            arguments.append(option)
        else:
            text = ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
            arguments += [option, text]
    recipe = chosen(*arguments)[0]
    assert recipe.to_dict() == wanted.to_dict()
    assert recipe == wanted


def test_epochs_alone_are_divided_over_the_phases(chosen):
    assert chosen("--epochs", "5")[0] == dataclasses.replace(Recipe(), epochs=(3, 1, 1))
    assert chosen("cifar10", "--epochs", "5")[0].epochs == (5,)
    assert chosen("--schedule", "cosine", "--epochs", "5")[0].learning_rates == (0.05,)
    assert chosen("--epochs", "5", "--learning-rates", "0.1")[0].epochs == (5,)


def test_a_run_is_resumed_by_its_own_recipe(chosen, tmp_path):
    (tmp_path / "y.npz").touch()
    folder = RunFolder(tmp_path)
    begun = Recipe(data="x.npz", steps=2, epochs=(20, 6, 6))
    folder.write_config(begun, data.load("digits").info)
    resume = ("--resume", "--output", tmp_path)
    assert chosen(*resume)[0] is None
    assert chosen("x.npz", *resume)[0] == begun
    path = str(tmp_path / "x.npz")
    assert chosen(path, *resume)[0] == dataclasses.replace(begun, data=path)
    assert chosen(*resume, "--epochs", "40")[0] == dataclasses.replace(begun, epochs=(20, 6, 14))
    assert chosen(*resume, "--epochs", "32")[0] == begun
    assert chosen(*resume, "--steps", "5")[0] == dataclasses.replace(begun, steps=5)
    longer = chosen("y.npz", "--recipe", "digits", "--epochs", "40", *resume)[0]
    assert longer == Recipe(data="y.npz", epochs=(20, 6, 14))
    (tmp_path / "x.npz").rename(tmp_path / "z.npz")
    assert chosen("z.npz", *resume)[0] == dataclasses.replace(begun, data="z.npz")


def test_none_and_no_are_values(chosen):
    recipe, _ = chosen(
        *("cifar10", "--recipe", "published"),
        *("--box", "none", "--no-flip", "--head-width", "None", "--architecture", "second-order"),
    )
    assert recipe == dataclasses.replace(
        RECIPES["cifar10"], box=None, flip=False, head_width=None, architecture="second_order"
    )


@pytest.mark.parametrize(
    "arguments",
    [
        ["nowhere.npz"],
        ["no_such_data_set"],
        ["--recipe", "mnist"],
        ["--architecture", "transformer"],
        ["--activation", "rely"],
        ["--steps", "0"],
        ["--steps", "three"],
        ["--steps", "none"],
        ["--step-size", "-1"],
        ["--kernel-size", "2"],
        ["--widths", "16,x"],
        ["--widths", ","],
        ["--widths", "5"],
        ["--widths", "4,4,4,4,4"],
        ["--box", "big"],
        ["--epochs", "1,2"],
        ["--architecture", "parabolic", "--backprop", "backwards"],
    ],
)
def test_wrong_input_is_one_line_and_exit_code_2(arguments, tmp_path):
    done = invoke("train", *arguments, "--output", tmp_path / "run")
    assert done.exit_code == 2
    assert len(done.stderr.strip().splitlines()) == 1
    assert "Received" in done.stderr
    assert not (tmp_path / "run").exists()


def test_a_message_has_an_end():
    done = invoke("evaluate", "x" * 100_000)
    assert done.exit_code == 2
    assert 1000 < len(done.stderr) < 3000
    assert "Received" in done.stderr


@pytest.fixture
def searched(monkeypatch):
    """Return a function that gives the hypermodel and arguments of the search a command line asks for."""

    def choose(*arguments):
        asked = []

        def stop(*positional, **keywords):
            asked.extend([positional, keywords])
            raise ValueError("asked")

        monkeypatch.setattr(tuning, "search", stop)
        done = invoke("tune", *arguments)
        assert "asked" in done.stderr, done.output
        return asked[0]

    return choose


def test_tune_searches_around_the_recipe(searched):
    hypermodel, folder, method, trials, budget, *_ = searched()
    assert hypermodel.start == Recipe()
    assert list(hypermodel.space.ranges) == ["architecture", "width", "steps", "step_size"]
    assert (hypermodel.epochs, hypermodel.validation) == (16, 0.25)
    assert (str(folder), method, trials, budget) == (os.path.join("searches", "digits-random"), "random", 12, None)
    assert searched("--method", "hyperband")[3:5] == (None, None)
    assert searched("--budget", "100")[3:5] == (None, 100)


def test_what_is_given_to_tune_is_fixed_unless_it_is_searched(searched):
    hypermodel = searched(
        *("--widths", "8,8", "--steps", "2", "--search", "steps=1:4", "--search", "learning-rate", "--seed", "3"),
        *("--search", "architecture=parabolic,residual", "--search", "batch_size=16,32", "--search", "step-size=0.5:2"),
        *("--trial-epochs", "7", "--max-weights", "9000", "--max-memory", "300"),
    )[0]
    assert hypermodel.start == Recipe(widths=(8, 8), steps=2, seed=3)
    ranges = dict(hypermodel.space.ranges)
    assert ranges.pop("learning_rate") == pytest.approx((0.005, 0.15))
    assert ranges == {
        "architecture": ["parabolic", "residual"],
        "steps": (1, 4),
        "step_size": (0.5, 2.0),
        "batch_size": [16, 32],
    }
    assert (hypermodel.epochs, hypermodel.max_weights, hypermodel.max_memory) == (7, 9000, 3e8)
    assert searched("--final-time", "6")[0].space.final_time == 6.0


@pytest.mark.parametrize(
    "arguments",
    [
        ["nowhere.npz"],
        ["--steps", "0"],
        ["--search", "depth"],
        ["--search", "steps=1:2:3"],
        ["--search", "steps=few"],
        ["--search", "steps=4:1"],
        ["--search", "architecture=transformer"],
        ["--widths", "5"],
        ["--widths", "4,4,4,4,4"],
        ["--final-time", "-1"],
        ["--final-time", "1", "--search", "step_size=1:2"],
        ["--trials", "0"],
        ["--budget", "-5"],
        ["--trial-epochs", "0"],
        ["--trial-validation", "0"],
        ["--max-weights", "100"],
        ["--max-failures", "0"],
        ["--role", "chief"],
        ["--role", "worker", "--address", "here"],
    ],
)
def test_wrong_input_of_tune_is_one_line_and_exit_code_2(arguments, tmp_path):
    done = invoke("tune", *arguments, "--output", tmp_path / "search")
    assert done.exit_code == 2, done.output
    assert len(done.stderr.strip().splitlines()) == 1
    assert "Received" in done.stderr
    if arguments[0] == "--search":
        assert arguments[1].partition("=")[2] in done.stderr  # as it was typed
    assert not (tmp_path / "search").exists()


@pytest.mark.parametrize(
    ("arguments", "received"),
    [
        (["--widths", "4", "--widths", "8"], "--widths 4 --widths 8"),
        (["--widths=4", "x.npz", "--widths", "4"], "--widths=4 --widths 4"),
        (["--flip", "--no-flip"], "--flip --no-flip"),
        (["--output", "a b", "--steps", "2", "--output=c"], "--output 'a b' --output=c"),
    ],
)
def test_an_option_that_is_given_twice_is_an_error(arguments, received):
    done = invoke("train", *arguments)
    assert done.exit_code == 2
    assert done.stderr.count("\n") == 1
    assert done.stderr.endswith(f"must be given once. Received: {received}\n")


@pytest.mark.parametrize(
    "arguments",
    [["train", "--stepz", "3"], ["trian"], ["train", "a", "b"], ["predict", "run"], ["tune", "--method", "x"]],
)
def test_wrong_usage_is_one_line(arguments):
    done = invoke(*arguments)
    assert done.exit_code == 2
    assert done.stderr.startswith("Error: ")
    assert done.stderr.count("\n") == 1
    command = "main" if arguments == ["trian"] else f"main {arguments[0]}"  # as the tests call the program
    assert done.stderr.endswith(f" Try '{command} --help' for help.\n")


def test_help():
    done = invoke("train", "--help")
    assert done.exit_code == 0
    for field in dataclasses.fields(Recipe)[1:]:
        assert "--" + field.name.replace("_", "-") in done.stdout
    assert invoke("--version").stdout.startswith("keras-pdecnn")


def test_train_reports_accuracy_and_folder(archive, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = invoke("train", archive, *SMALL)
    assert done.exit_code == 0, done.output
    assert "Epoch 20/20" in done.stdout
    *_, accuracy, folder = done.stdout.strip().splitlines()
    assert accuracy.startswith("Test accuracy: ")
    name = folder.removeprefix("Run folder: ")
    assert name.startswith(os.path.join("runs", "bars-parabolic-"))
    assert RunFolder(name).read_metrics()["diverged"] is None


@pytest.mark.parametrize("watched", [False, True])
def test_a_person_at_a_terminal_reads_what_to_do_next(watched, monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: watched)
    settings.suggest_uses("my runs/digits")
    out, messages = capsys.readouterr()
    assert not out
    shown = "Next: keras-pdecnn explain 'my runs/digits', or keras-pdecnn predict 'my runs/digits' FILE, or "
    assert messages == (f"{shown}keras-pdecnn export 'my runs/digits'\n" if watched else "")


@pytest.mark.parametrize("watched", [False, True])
def test_a_person_at_a_terminal_sees_a_bar(watched, monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: watched)
    assert list(progress.bar(iter(["parabolic", "residual"]), str.upper)) == ["parabolic", "residual"]
    progress.announce("Exporting")
    out, messages = capsys.readouterr()
    assert not out
    assert (messages.splitlines()[-1] == "Exporting …") if watched else (messages == "")


@pytest.mark.parametrize(
    ("task", "is_run", "words"),
    [
        ("classification", True, "keras-pdecnn explain 'my run'"),
        ("classification", False, "add --format csv or --format json for other programs"),
        ("regression", True, "keras-pdecnn export 'my run'"),
        ("segmentation", True, "look at the files in predictions"),
    ],
)
def test_what_to_do_after_a_prediction(task, is_run, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pathlib.Path("my run").mkdir()
    if is_run:
        pathlib.Path("my run", "config.json").touch()
    assert after(pathlib.Path("my run"), TASKS[task], None) == words


def test_an_existing_folder_is_not_touched(run, archive):
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*")}
    done = invoke("train", archive, *SMALL, "--output", run)
    assert done.exit_code == 2
    assert str(run) in done.stderr
    assert {path: path.stat().st_mtime_ns for path in run.rglob("*")} == before


def test_a_training_that_diverges_fails(archive, tmp_path):
    done = invoke("train", archive, *small(learning_rates=1e30), "--output", tmp_path / "run", "--verbose", 0)
    assert done.exit_code == 1
    assert "epoch 1, batch" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert RunFolder(tmp_path / "run").read_metrics()["diverged"]["epoch"] == 1
    assert RunFolder(tmp_path / "run").load_model()


def test_evaluate(run, archive):
    accuracy = RunFolder(run).read_metrics()["accuracy"]
    for arguments in ([], ["--data", archive]):
        done = invoke("evaluate", run, *arguments)
        assert done.exit_code == 0
        assert f"Test accuracy: {100 * accuracy:.2f} %" in done.stdout


def test_evaluate_on_a_folder_of_images(run, archive, tmp_path):
    for name, image in (("lying", stripes(16)), ("standing", stripes(16).T)):
        (tmp_path / name).mkdir()
        for index in range(5):
            Image.fromarray(np.uint8(200 * image)).save(tmp_path / name / f"{index}.png")
    done = invoke("evaluate", run, "--data", tmp_path)
    assert done.exit_code == 0, done.stderr
    assert "(2 of 2)" in done.stdout


@pytest.mark.parametrize("arguments", [["nowhere"], ["RUN", "--data", "digits"], ["RUN", "--data", "nowhere.npz"]])
def test_evaluate_wrong_input(run, arguments):
    done = invoke("evaluate", *[run if argument == "RUN" else argument for argument in arguments])
    assert done.exit_code == 2
    assert len(done.stderr.strip().splitlines()) == 1


def test_predict(run, tmp_path):
    Image.fromarray(np.uint8(250 * stripes(16).T)).save(tmp_path / "image.png")
    x = 7.0 * np.stack([stripes(8), stripes(8).T])[..., None]
    np.savez(tmp_path / "several.npz", x=x)
    np.savez(tmp_path / "one.npz", x_test=x[1])
    done = invoke("predict", run, *(tmp_path / name for name in ("image.png", "several.npz", "one.npz")))
    assert done.exit_code == 0, done.stderr
    head, *rows = [line.split() for line in done.stdout.strip().splitlines()]
    assert head == ["file", "class", "probability"]
    assert [row[1] for row in rows] == ["standing", "lying", "standing", "standing"]
    assert [row[0][-len("several.npz[0]") :] for row in rows][1:3] == ["several.npz[0]", "several.npz[1]"]
    assert all(0.5 <= float(row[2]) <= 1 for row in rows)


def test_regression_from_training_to_prediction(archive, tmp_path):
    folder = tmp_path / "run"
    settings = ("--loss", "regression", "--time-basis", "linear", "--basis-size", 2, "--verbose", 0)
    done = invoke("train", archive, *SMALL, *settings, "--output", folder)
    assert done.exit_code == 0, done.output
    assert "Test accuracy: 100.00 % (10 of 10)" in done.stdout
    reported = done.stdout.splitlines()[-2]
    assert reported in invoke("evaluate", folder).stdout
    max((folder / "checkpoints").iterdir()).unlink()
    assert invoke("train", "--output", folder, "--resume").stdout.splitlines()[-2] == reported
    np.savez(tmp_path / "two.npz", x=7.0 * np.stack([stripes(8), stripes(8).T])[..., None])
    head, *rows = [line.split() for line in invoke("predict", folder, tmp_path / "two.npz").stdout.splitlines()]
    assert head == ["file", "class", "score"]
    assert [row[1] for row in rows] == ["lying", "standing"]


def test_predict_reports_what_it_cannot_read(run, tmp_path):
    Image.fromarray(np.eye(8, dtype=np.uint8)).save(tmp_path / "good.png")
    (tmp_path / "bad.png").write_bytes(b"no image")
    (tmp_path / "bad.npz").write_bytes(b"no archive")
    np.savez(tmp_path / "other.npz", y=np.zeros(3))
    np.savez(tmp_path / "shape.npz", x=np.zeros((2, 9, 9, 1)))
    np.savez(tmp_path / "nan.npz", x=np.full((2, 8, 8, 1), np.nan))
    bad = [tmp_path / name for name in ("bad.png", "bad.npz", "other.npz", "shape.npz", "nan.npz", "missing.png")]
    done = invoke("predict", run, *bad, tmp_path / "good.png")
    assert done.exit_code == 1
    assert len(done.stdout.strip().splitlines()) == 2
    lines = done.stderr.strip().splitlines()
    assert len(lines) == len(bad)
    assert all(str(path) in line for path, line in zip(bad, lines, strict=True))
    assert invoke("predict", run, *bad).exit_code == 2


def test_predict_prints_json_and_csv(run, tmp_path):
    Image.fromarray(np.uint8(250 * stripes(16).T)).save(tmp_path / "image.png")
    np.savez(tmp_path / "several.npz", x=7.0 * np.stack([stripes(8), stripes(8).T])[..., None])
    (tmp_path / "bad, file.png").write_bytes(b"no image")
    # The files of a folder, in the order of their names.
    table = invoke("predict", run, tmp_path)
    assert table.exit_code == 1
    rows = [line.split()[1:] for line in table.stdout.splitlines()[1:]]
    assert [row[0] for row in rows] == ["standing", "lying", "standing"]
    done = invoke("predict", run, tmp_path, "--format", "json")
    assert done.exit_code == 1
    content = json.loads(done.stdout)
    assert [entry["file"] for entry in content["unreadable"]] == [str(tmp_path / "bad, file.png")]
    assert [row["label"] for row in content["predictions"]] == [row[0] for row in rows]
    assert [row["index"] for row in content["predictions"]] == [None, 0, 1]
    assert [f"{row['probability']:.4f}" for row in content["predictions"]] == [row[1] for row in rows]
    done = invoke("predict", run, tmp_path / "several.npz", "--format", "csv")
    assert done.exit_code == 0
    read = list(csv.DictReader(done.stdout.splitlines()))
    assert [(row["file"], row["index"], row["class"]) for row in read] == [
        (str(tmp_path / "several.npz"), "0", "0"),
        (str(tmp_path / "several.npz"), "1", "1"),
    ]
    done = invoke("predict", run, tmp_path / "bad, file.png", "--format", "json")
    assert done.exit_code == 2
    assert json.loads(done.stdout)["predictions"] == []


@pytest.mark.parametrize(
    ("names", "heads"),
    [
        (("index", "file"), ("index (output 0)", "file (output 1)")),
        (("class", "label"), ("class", "label")),
        (("a", "a"), ("a", "a (output 1)")),  # a network of an earlier version
        (("index", "index (output 0)"), ("index (output 0)'", "index (output 0)")),
    ],
)
def test_predict_shows_every_output_whatever_its_name(names, heads, tmp_path, monkeypatch):
    outputs = inference.Classifier((2, 2, 1), names, lambda x: x[:, 0, :, 0], quantity="value", task="regression")
    monkeypatch.setattr(inference, "load", lambda path: outputs)
    (tmp_path / "config.json").touch()
    file = tmp_path / "x.npz"
    np.savez(file, x=np.arange(8.0).reshape(2, 2, 2, 1))
    kinds = ("csv", "json", "table")
    csv_, json_, table = (invoke("predict", tmp_path, file, "--format", kind).stdout for kind in kinds)
    assert list(csv.reader(csv_.splitlines())) == [
        ["file", "index", *heads],
        [str(file), "0", "0.0", "1.0"],
        [str(file), "1", "4.0", "5.0"],
    ]
    row = json.loads(json_)["predictions"][1]
    assert row == {"file": str(file), "index": 1, heads[0]: 4.0, heads[1]: 5.0}
    head, _, last = table.splitlines()
    assert head.split()[1:] == " ".join(heads).split()
    assert last.split() == [f"{file}[1]", "4.0000", "5.0000"]


def test_predict_images_of_every_kind(run, tmp_path):
    standing = np.uint8(200 * stripes(16).T)
    colours = Image.fromarray(standing).convert("RGB")
    folder = tmp_path / "größe 寸法"
    (folder / "empty").mkdir(parents=True)
    (folder / "notes.txt").write_text("text")
    colours.convert("RGBA").save(folder / "alpha.png")
    Image.fromarray(standing.astype(np.uint16) * 256).save(folder / "wide.png")
    colours.convert("CMYK").save(folder / "inks.JPG")
    Image.fromarray(standing).save(
        folder / "moving.gif", save_all=True, append_images=[Image.fromarray(np.uint8(200 * stripes(16)))]
    )
    turned = Image.Exif()
    turned[0x0112] = 6  # by a quarter when it is shown
    colours.save(folder / "turned.jpeg", exif=turned)
    colours.save(os.fsencode(folder) + b"/\xff.png")  # a name that is no text
    done = invoke("predict", run, folder)
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()[1:]
    assert len(lines) == 6
    assert all(line.startswith(f"{folder}/") and line.split()[-2] == "standing" for line in lines)
    rows = list(csv.DictReader(invoke("predict", run, folder, "--format", "csv").stdout.splitlines()))
    assert {row["label"] for row in rows} == {"standing"}
    files = [
        row["file"] for row in json.loads(invoke("predict", run, folder, "--format", "json").stdout)["predictions"]
    ]
    assert len(files) == 6
    assert all(os.path.exists(file) for file in files)
    done = invoke("predict", run, folder / "empty")
    assert (done.exit_code, done.stdout) == (2, "")
    assert re.match(r"\S+ \S+/empty: The folder has no image.* Received: '.*empty'\n$", done.stderr)


@pytest.mark.parametrize("name", ["nowhere", "nowhere.keras", "file.txt", "empty"])
def test_predict_needs_a_model(tmp_path, name):
    (tmp_path / "file.txt").write_text("text")
    (tmp_path / "empty").mkdir()
    (tmp_path / "image.png").write_bytes(b"")
    done = invoke("predict", tmp_path / name, tmp_path / "image.png")
    assert done.exit_code == 2
    assert len(done.stderr.strip().splitlines()) == 1
    assert name in done.stderr


def test_export(run, archive, tmp_path):
    done = invoke("export", run, "--output", tmp_path / "bars")
    assert done.exit_code == 0, done.stderr
    assert done.stdout.splitlines()[-1] == f"Exported: {tmp_path / 'bars' / '1'}"
    Image.fromarray(np.uint8(250 * stripes(16))).save(tmp_path / "image.png")
    expected = invoke("predict", run, tmp_path / "image.png")
    assert expected.stdout.split()[-2] == "lying"
    assert invoke("predict", tmp_path / "bars", tmp_path / "image.png").stdout == expected.stdout
    of_file = invoke("predict", run / "model.keras", tmp_path / "image.png").stdout
    assert of_file.split()[-2:] == ["0", expected.stdout.split()[-1]]
    # The next version; one that is there is left as it is.
    before = (tmp_path / "bars" / "1" / "saved_model.pb").stat()
    assert invoke("export", run, "--jit-compile", "--output", tmp_path / "bars").stdout.endswith("bars/2\n")
    assert (tmp_path / "bars" / "1" / "saved_model.pb").stat() == before
    for output in (tmp_path / "image.png", "/proc/none"):
        done = invoke("export", run, "--output", output)
        assert done.exit_code == 2
        assert re.match(r"Error: The export cannot be written .* Received: '.*'\n$", done.stderr)
    for arguments in (
        ["nowhere"],
        [run, "--format", "litert", "--output", tmp_path / "bars"],
        [run, "--format", "h5"],
        [run, "--format", "litert", "--jit-compile"],
    ):
        done = invoke("export", *arguments)
        assert done.exit_code == 2
        assert "Error" in done.stderr


def test_an_exported_network_sees_what_the_run_sees(tmp_path):
    """A run on windows of photographs: the pixels left and right of the window must not count."""
    folder = RunFolder(tmp_path / "run")
    folder.create()
    names = ("cat", "dog")
    sizes = {"train": 8, "validation": 0, "test": 2}
    info = data.Info("photos", (8, 8, 3), 2, names, sizes, "uint8", crop="center", sampling_rate=8000)
    folder.write_config(Recipe("photos", crop="center", size=(8, 8)), info)
    models.ParabolicCNN((8, 8, 3), 2, widths=(4,), steps=1).save(folder.model)
    pixels = np.random.default_rng(0).integers(0, 255, (8, 24, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "wide.png")
    Image.fromarray(pixels[:, 8:16]).save(tmp_path / "window.png")
    assert invoke("export", folder.path).exit_code == 0
    for model in (folder.path, folder.path / "savedmodel"):
        done = invoke("predict", model, tmp_path / "wide.png", tmp_path / "window.png", "--format", "csv")
        wide, window = (line.split(",")[1:] for line in done.stdout.splitlines()[1:])
        assert wide == window
    assert inference.load(folder.path / "savedmodel").sampling_rate == 8000


def test_as_a_program(run, tmp_path):
    """The searches and the resumed runs of other tests are started as `python -m keras_pdecnn`."""

    def call(*arguments):
        command = [sys.executable, "-m", "keras_pdecnn_command", *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)

    right = call("evaluate", run)
    assert right.returncode == 0
    assert "Test accuracy" in right.stdout
    assert right.stderr == ""
    (tmp_path / "empty").mkdir()
    wrong = call("evaluate", "empty")
    assert wrong.returncode == 2
    assert "Traceback" not in wrong.stderr
    assert wrong.stderr.startswith("Error: ")
    assert wrong.stderr.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["empty"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["train", "NOWHERE.npz"],
        ["train", "NOWHERE"],
        ["train", "NOWHERE/labels.csv"],
        ["tune", "NOWHERE.npz"],
        ["tune", "RUN/nowhere"],
        ["evaluate", "NOWHERE"],
        ["evaluate", "RUN", "--data", "NOWHERE.npz"],
        ["predict", "NOWHERE", "image.png"],
        ["predict", "NOWHERE.keras", "image.png"],
        ["predict", "RUN", "NOWHERE.png"],
        ["predict", "RUN", "NOWHERE.wav"],
        ["predict", "RUN", "NOWHERE.npz"],
        ["export", "NOWHERE"],
        ["explain", "NOWHERE"],
        ["explain", "RUN", "NOWHERE.npz"],
        ["explain", "RUN", "--output", "NOWHERE/page.html"],
        ["stability", "NOWHERE"],
        ["stability", "RUN", "--data", "NOWHERE.npz"],
    ],
    ids=" ".join,
)
def test_a_path_that_does_not_exist(run, tmp_path, arguments):
    places = {"RUN": run, "NOWHERE": tmp_path / "nowhere"}
    words = []
    for word in arguments:
        name = next((name for name in places if word.startswith(name)), None)
        words.append(word.replace(name, str(places[name])) if name else word)
    done = invoke(*words)
    assert done.exit_code == 2
    assert "does not exist" in done.stderr
    assert "nowhere" in done.stderr.partition("Received: ")[2]
    assert done.stderr.count("\n") == 1


def test_a_strategy_that_does_not_suit_is_one_line(tmp_path, monkeypatch):
    wrong = json.dumps({"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 7}})
    monkeypatch.delenv("TF_CONFIG", raising=False)
    for name, config, text in (
        ("many", None, "strategy='many'"),
        ("multiworker", None, "no TF_CONFIG"),
        ("multiworker", wrong, "TF_CONFIG="),
    ):
        if config:
            monkeypatch.setenv("TF_CONFIG", config)
        done = invoke("train", "digits", "--strategy", name, "--output", tmp_path / "run")
        assert done.exit_code == 2
        assert text in done.stderr
        assert done.stderr.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_describe_prints_a_line_for_each_network_and_size(monkeypatch):
    from keras_pdecnn.benchmarks import suite

    done = invoke("describe", "--sizes", "32,64", "--batch-size", 8)
    assert done.exit_code == 0, done.output
    lines = [line.split("|") for line in done.output.splitlines()]
    assert len(lines) == 2 + 2 * len(NETWORKS) + 1
    assert [cell.strip() for cell in lines[2][1:5]] == ["Hamiltonian", "32 x 32", "264,106", "83.9 M"]

    monkeypatch.setattr(suite, "run", lambda wanted: {"rows": {"network": [{"step_s": 0.5, "peak_bytes": 2e9}]}})
    done = invoke("describe", "--sizes", 32, "--architecture", "parabolic", "--batch-size", 8, "--measure")
    assert len(done.output.splitlines()) == 4
    assert [cell.strip() for cell in done.output.splitlines()[2].split("|")[-3:-1]] == ["16.0", "2.00"]
    refused = invoke("describe", "--sizes", "large")
    assert refused.exit_code == 2 and "Received: sizes='large'" in refused.stderr


def test_benchmark_writes_a_report_and_overwrites_none(tmp_path, monkeypatch):
    from keras_pdecnn.benchmarks import suite

    row = {"block": "HamiltonianBlock", "steps": 4, "backprop": "stored", "checkpoint_every": None}
    monkeypatch.setattr(
        suite,
        "run",
        lambda wanted, progress: {
            "machine": {"cores": len(list(progress(wanted)))},
            "rows": {"precision": [row | {"policy": "float32", "error": 1e-7}]},
        },
    )
    done = invoke("benchmark", "--quick", "--table", "precision", "--output", tmp_path / "report")
    assert done.exit_code == 0
    assert "| HamiltonianBlock | float32 | stored | 1.0e-07 |" in (tmp_path / "report" / "report.md").read_text()
    again = invoke("benchmark", "--output", tmp_path / "report")
    assert again.exit_code == 2
    assert "must not exist yet. Received:" in again.stderr
    lines = [line for line in done.stderr.splitlines() if " of " in line]  # no terminal
    assert [line.split(":")[0] for line in lines] == [f"{i} of {len(lines)}" for i in range(1, len(lines) + 1)]
    assert all(": precision: " in line for line in lines) and lines

    def fail(wanted, progress):
        raise RuntimeError("The benchmark depth failed: no memory")

    monkeypatch.setattr(suite, "run", fail)
    failed = invoke("benchmark", "--output", tmp_path / "other")
    assert failed.exit_code == 1
    assert "no memory" in failed.stderr
    assert not (tmp_path / "other").exists()

    def interrupt(wanted, progress):
        raise KeyboardInterrupt

    monkeypatch.setattr(suite, "run", interrupt)
    assert invoke("benchmark", "--output", tmp_path / "other").exit_code == 1
    assert not (tmp_path / "other").exists()
    monkeypatch.setattr(suite, "run", fail)
    (tmp_path / "other").mkdir()  # as a kill leaves it
    assert "no memory" in invoke("benchmark", "--output", tmp_path / "other").stderr
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "text").write_text("mine")
    assert "must not exist yet" in invoke("benchmark", "--output=~/mine").stderr


@pytest.mark.parametrize("epoch", [None, 0, pytest.param(2, marks=pytest.mark.slow)])
def test_an_interrupted_training_says_how_to_go_on(archive, tmp_path, monkeypatch, epoch):
    from keras_pdecnn.training import execution

    folder = tmp_path / "a run"
    if epoch is None:
        monkeypatch.setattr(execution, "load_data", interrupted)
    else:
        whole = execution.fit

        def fit(model, dataset, recipe, callbacks, *others):
            whole(model, dataset, recipe, [*callbacks, InterruptAt(epoch)], *others)

        monkeypatch.setattr(execution, "fit", fit)
    done = invoke("train", archive, *small(epochs=3), "--output", folder, "--verbose", 0)
    assert done.exit_code == 130, done.output
    line = done.stderr.strip().splitlines()[-1]
    if epoch is None:
        assert line == "Interrupted before the training began: nothing has been written."
        assert not folder.exists()
        return
    assert line == f"Interrupted after {epoch} whole epochs. To go on: keras-pdecnn train --resume --output '{folder}'"
    monkeypatch.undo()
    if epoch:
        done = invoke(*shlex.split(line.partition("keras-pdecnn ")[2]), "--verbose", 0)
        assert done.exit_code == 0, done.output
        assert len(RunFolder(folder).read_history()["loss"]) == 3


def interrupted(*_):
    raise KeyboardInterrupt


class InterruptAt(keras.callbacks.Callback):
    """Stops a training as Ctrl-C does, in the middle of an epoch."""

    def __init__(self, epoch):
        super().__init__()
        self.epoch = epoch

    def on_epoch_begin(self, epoch, logs=None):
        self.is_last = epoch == self.epoch

    def on_train_batch_end(self, batch, logs=None):
        if self.is_last and batch == 3:
            raise KeyboardInterrupt


@pytest.mark.slow
def test_sounds_from_training_to_prediction(tmp_path):
    """A folder of .wav files in parts, one of them damaged; the network predicts files of another sampling rate."""
    time = np.arange(400) / 4000

    def write(path, frequency, rate=4000):
        path.parent.mkdir(parents=True, exist_ok=True)
        with wave.open(str(path), "wb") as file:
            file.setparams((1, 2, rate, 0, "NONE", None))
            samples = 9000 * np.sin(2 * np.pi * frequency * np.arange(len(time) * rate // 4000) / rate)
            file.writeframes(samples.astype("<i2").tobytes())
        return path

    for part, count in (("train", 12), ("test", 4)):
        for name, frequency in (("high", 800), ("low", 100)):
            for index in range(count):
                write(tmp_path / "set" / part / name / f"{index}.wav", frequency + 5 * index)
    bad = tmp_path / "set" / "train" / "low" / "3.wav"
    bad.write_bytes(bad.read_bytes()[:300])
    words = ["train", tmp_path / "set", *small(widths="4,4"), "--recalibrate", "--verbose", 0]
    refused = invoke(*words, "--output", tmp_path / "refused")
    assert refused.exit_code == 2
    assert "3.wav" in refused.stderr and "--skip-unreadable" in refused.stderr
    done = invoke(*words, "--skip-unreadable", "--output", tmp_path / "run")
    assert done.exit_code == 0, done.output
    assert "(8 of 8)" in done.stdout
    recipe, info = RunFolder(tmp_path / "run").read_config()
    assert recipe.skip_unreadable
    assert (info.skipped, info.sampling_rate) == ((str(bad),), 4000)
    predicted = invoke("predict", tmp_path / "run", write(tmp_path / "fast.wav", 120, rate=8000))
    assert predicted.stdout.split()[-2] == "low"
    # A resumed run notices that its data have changed.
    write(bad, 100)
    resumed = invoke("train", "--resume", "--output", tmp_path / "run")
    assert resumed.exit_code == 2
    assert "the data that it began with, which have changed. Received: sizes=" in resumed.stderr


@pytest.mark.parametrize("strategy", ["multiworker", "auto"])
def test_tune_refuses_a_trial_over_several_machines(strategy, monkeypatch, tmp_path):
    cluster = {"cluster": {"worker": ["a:1", "b:2"]}, "task": {"type": "worker", "index": 0}}
    monkeypatch.setenv("TF_CONFIG", json.dumps(cluster))
    done = invoke("tune", "digits", "--strategy", strategy, "--output", tmp_path / "search")
    assert done.exit_code == 2
    assert f"by --role. Received: --strategy {strategy}" in done.output
    assert not (tmp_path / "search").exists()


@pytest.mark.slow
def test_tune_on_two_devices(archive, tmp_path):
    """A search and the training of its best network under one strategy of two replicas."""
    words = [archive, *small(epochs=1), "--strategy", "mirrored", "--drop-remainder", "--synchronized"]
    words += ["--search", "step_size=0.5,1", "--trials", "1", "--trial-epochs", "1", "--verbose", "0"]
    done = invoke("tune", *words, "--output", tmp_path / "search")
    assert done.exit_code == 0, done.output
    assert "1 trials: 1 completed" in done.output
    run = RunFolder(next((tmp_path / "search").glob("best-*")))
    assert run.read_metrics()["diverged"] is None
