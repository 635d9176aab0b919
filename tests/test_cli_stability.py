"""The command `keras-pdecnn stability`, and `train --monitor`."""

import csv

import click.testing
import numpy as np
import pytest
from helpers.data_sets import picture

from keras_pdecnn import cli, data, stability, training
from keras_pdecnn.recipes import Recipe
from keras_pdecnn.runs import RunFolder

RECIPE = {"data": "digits", "widths": (4,), "steps": 2, "epochs": 1, "learning_rates": 0.05}


def invoke(*arguments):
    return click.testing.CliRunner().invoke(cli.main, list(map(str, arguments)))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Return a function that gives the folder of a run with an untrained network of an architecture."""
    digits = data.load("digits")

    def make(architecture="hamiltonian", **settings):
        folder = RunFolder(tmp_path_factory.mktemp("runs") / architecture)
        recipe = Recipe(**{**RECIPE, "architecture": architecture, **settings})
        folder.create()
        folder.write_config(recipe, digits.info)
        training.build(recipe, digits.info).save(folder.model)
        return folder.path

    return make


def table(output):
    """Return the rows of the table of an output, as lists of cells."""
    lines = [line for line in output.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if "---" not in line]


def test_report_is_a_table_and_a_file(run, tmp_path):
    file = tmp_path / "rows.csv"
    done = invoke("stability", run(), "--examples", 2, "--csv", file)
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith("digits: 2 test examples\n")
    lines = [line.replace("||", "") for line in done.stdout.splitlines() if line.startswith("| block")]
    assert [line.split("|")[1].strip() for line in lines] == ["block", "block_1", "block_1"]
    assert "h_max of block_1: no theorem: that of the block without TV normalisation" in done.stdout
    with open(file, newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [(row["block"], row["kind"], row["step"]) for row in rows] == [
        ("block_1", "HamiltonianBlock", "1"),
        ("block_1", "HamiltonianBlock", "2"),
    ]
    passed = [float(row["step_size"]) > float(row["limit"]) for row in rows]
    assert ("Warning: block_1 has h up to" in done.stderr) == any(passed)
    assert invoke("stability", run(), "--csv", file).exit_code == 2


@pytest.mark.parametrize(
    ("architecture", "text"),
    [
        ("parabolic", "a theorem: no step"),
        ("second_order", "a linearisation constant in time"),
        ("residual", "there is none"),
    ],
)
def test_report_says_which_limits_are_theorems(run, architecture, text):
    small = invoke("stability", run(architecture, normalization=None, step_size=1e-3), "--examples", 1)
    assert small.exit_code == 0, small.output
    assert f"h_max of block_1: {text}" in small.stdout.replace("no theorem: that of ", "")
    assert small.stderr == ""
    if architecture != "residual":
        large = invoke("stability", run(architecture, normalization=None, step_size=100.0), "--examples", 1)
        assert large.exit_code == 0, large.output
        assert large.stderr.startswith("Warning: block_1 has h up to")


def test_a_damaged_file_is_one_line(run, tmp_path):
    for label in range(10):
        for index in range(5):
            picture(tmp_path / str(label) / f"{index}.png", (9, 9), "L", value=20 * label + index)
    folder = run(data=str(tmp_path), size=8, crop="random", crop_area=0.5)  # such images are read when they are needed
    assert invoke("stability", folder, "--examples", 2).exit_code == 0
    for path in tmp_path.glob("*/*.png"):
        path.write_bytes(path.read_bytes()[:50])
    done = invoke("stability", folder, "--examples", 2)
    assert done.exit_code == 2, done.output
    assert "Not a readable" in done.stderr and len(done.stderr.strip().splitlines()) == 1


def test_attack_is_a_table_of_accuracies(run, tmp_path):
    words = ["--attack", "--norm", "linf", "--epsilon", "0.5,2", "--examples", 10, "--steps", 1]
    done = invoke("stability", run(), *words, "--csv", tmp_path / "rows.csv")
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith("digits: 10 test examples; raw units from 0 to 16")
    rows = table(done.stdout)
    assert rows[0] == ["change", "strength", "of the range", "accuracy"]
    assert [row[0] for row in rows[1:]] == ["none"] + [
        name for name in ("Gaussian noise", "salt and pepper", "blur") for _ in range(3)
    ] + [f"{name}, linf" for name in ("random", "FGSM", "PGD") for _ in range(2)]
    assert rows[-1][1:3] == ["2 raw", "0.125"]
    assert all(0 <= float(row[3].removesuffix(" %")) <= 100 for row in rows[1:])
    with open(tmp_path / "rows.csv", newline="") as stream:
        found = list(csv.DictReader(stream))
    assert [f"{100 * float(row['accuracy']):.2f} %" for row in found] == [row[3] for row in rows[1:]]


def test_attack_says_what_is_certain(run, tmp_path):
    words = ["--attack", "--epsilon", "0.001,0.2", "--examples", 60, "--steps", 1, "--csv", tmp_path / "rows.csv"]
    done = invoke("stability", run("parabolic", provable=True, normalization=None), *words)
    assert done.exit_code == 0, done.output
    with open(tmp_path / "rows.csv", newline="") as stream:
        rows = {(row["change"], float(row["strength"])): float(row["accuracy"]) for row in csv.DictReader(stream)}
    clean = rows["none", 0.0]
    # Of an untrained network some images are right, and hardly any keeps its class for sure over the larger distance.
    assert 0 < rows["any, l2", 0.001] <= rows["PGD, l2", 0.001] <= clean
    assert rows["any, l2", 0.2] <= rows["PGD, l2", 0.2]
    assert rows["any, l2", 0.2] < rows["any, l2", 0.001]


@pytest.mark.parametrize(
    "arguments",
    [
        ["nowhere"],
        ["RUN", "--data", "nowhere.npz"],
        ["RUN", "--attack", "--epsilon", "big"],
        ["RUN", "--attack", "--epsilon", "-1"],
        ["RUN", "--attack", "--range", "0"],
        ["RUN", "--attack", "--range", "16,0"],
        ["RUN", "--attack", "--range", "0,1"],
        ["RUN", "--csv", "nowhere/rows.csv"],
    ],
)
def test_wrong_input_is_one_line_and_exit_code_2(run, arguments, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = invoke("stability", *[run() if argument == "RUN" else argument for argument in arguments])
    assert done.exit_code == 2, done.output
    assert len(done.stderr.strip().splitlines()) == 1
    assert "Received" in done.stderr
    if "--attack" in arguments:
        assert done.stderr.endswith(f"Received: {' '.join(arguments[2:])}\n")
    assert "|" not in done.stdout


@pytest.mark.parametrize("epsilons", [[], [-1.0], [1.0, float("nan")]])
def test_sizes_of_attacks_are_named_as_they_were_given(run, epsilons):
    model = RunFolder(run()).load_model()
    with pytest.raises(ValueError, match=r"numbers of at least 0\. Received: epsilons=") as error:
        stability.accuracies(model, np.zeros((2, 8, 8, 1)), [0, 1], epsilons=epsilons)
    assert str(error.value).endswith(f"={epsilons}")


def test_train_monitors_the_stability(tmp_path):
    settings = ["--widths", "4", "--steps", "1", "--epochs", "1", "--learning-rates", "0.01", "--verbose", 0]
    settings += ["--batch-size", "500", "--pad", "0", "--rotate", "0", "--zoom", "0"]
    with pytest.warns(UserWarning, match="At the end of epoch 1: block_1 has h up to"):
        done = invoke("train", "digits", *settings, "--step-size", "100", "--monitor", "--output", tmp_path / "run")
    assert done.exit_code == 0, done.output
    assert list((tmp_path / "run" / "logs" / "stability").glob("events.out.tfevents.*"))
