"""Interrupted runs end like runs that were never interrupted, bit for bit, with one process and with two."""

import dataclasses
import os
import resource
import shutil
import time

import numpy as np
import pytest
from helpers import cluster
from helpers.data_sets import picture

from keras_pdecnn import data, training
from keras_pdecnn.data.sources import absolute
from keras_pdecnn.recipes import Recipe
from keras_pdecnn.runs import RunFolder
from keras_pdecnn.runs.checkpoints import CheckpointFolder
from keras_pdecnn.training.beginning import begin_run, open_run
from keras_pdecnn.training.inputs import located


class Interrupted(Exception):
    """What stops a training in these tests."""


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    """Return the path of 120 digits, 20 of them for the test: an epoch takes no time."""
    path = tmp_path_factory.mktemp("data") / "digits.npz"
    x, y = (np.concatenate(parts) for parts in zip(*data.load("digits", validation=0).test, strict=True))
    np.savez(path, x_train=x[:100], y_train=y[:100], x_test=x[100:120], y_test=y[100:120])
    return str(path)


@pytest.fixture
def recipe(archive):
    """Return a recipe that trains in seconds, with all kinds of augmentation and two learning rates."""
    settings = {"widths": (4,), "steps": 2, "learning_rates": (0.05, 0.01), "epochs": (2, 1)}
    return Recipe(data=archive, batch_size=16, flip=True, **settings)


def stop_at(epoch, batch):
    """Return a callback that interrupts the training in the middle of an epoch."""
    import keras

    class Stop(keras.callbacks.Callback):
        def on_epoch_begin(self, number, logs=None):
            self.epoch = number

        def on_train_batch_end(self, number, logs=None):
            if (self.epoch, number) == (epoch, batch):
                raise Interrupted

    return Stop()


def state(folder):
    """Return everything that a run ends with, but the time that it took."""
    folder = RunFolder(folder)
    model = folder.load_model()
    variables = [np.array(variable) for variable in (*model.variables, *model.optimizer.variables)]
    metrics = {name: value for name, value in folder.read_metrics().items() if name != "seconds"}
    return variables, folder.history.read_text(), metrics


def assert_same(first, second):
    (variables, history, metrics), (others, other_history, other_metrics) = map(state, (first, second))
    assert all(np.array_equal(a, b) for a, b in zip(variables, others, strict=True))
    assert history == other_history
    assert metrics == other_metrics


@pytest.mark.slow
@pytest.mark.parametrize(("dtype", "interrupted"), [("float32", (0, 1, 2)), ("mixed_float16", (1,))])
def test_a_resumed_run_is_the_same(recipe, tmp_path, request, dtype, interrupted):
    if dtype != "float32":
        request.getfixturevalue("eager")  # graphs take long to make: once is enough
    recipe = dataclasses.replace(recipe, dtype=dtype, backprop="stored")
    training.run(recipe, tmp_path / "whole", verbose=0)
    # In the middle of the first epoch, which leaves no checkpoint, then of the second, then of the third.
    for epoch in interrupted:
        with pytest.raises(Interrupted):
            training.run(recipe, tmp_path / "parts", [stop_at(epoch, 3)], verbose=0, resume=True)
    training.run(None, tmp_path / "parts", verbose=0, resume=True)
    assert_same(tmp_path / "whole", tmp_path / "parts")
    assert len(CheckpointFolder(tmp_path / "parts" / "checkpoints").paths()) == 2
    # What is complete stays as it is.
    training.run(recipe, tmp_path / "parts", verbose=0, resume=True)
    assert_same(tmp_path / "whole", tmp_path / "parts")


NEW = {
    "cosine, averaged": {"schedule": "cosine", "warmup": 0.2, "ema": 0.9, "nesterov": True},
    "one_cycle, adamw, mixed": {
        **{"schedule": "one_cycle", "optimizer": "adamw", "gradient_clip": 1.0, "label_smoothing": 0.1},
        **{"mixup": 0.3, "cutmix": 1.0, "cutout": 0.3, "rand_augment": 2},
    },
}


@pytest.mark.parametrize("name", NEW)
def test_a_resumed_run_with_other_settings_is_the_same(recipe, tmp_path, name, eager):
    recipe = dataclasses.replace(recipe, epochs=2, learning_rates=0.02, validation=0.2, **NEW[name])
    training.run(recipe, tmp_path / "whole", verbose=0)
    with pytest.raises(Interrupted):
        training.run(recipe, tmp_path / "parts", [stop_at(1, 3)], verbose=0)
    training.run(None, tmp_path / "parts", verbose=0, resume=True)
    assert_same(tmp_path / "whole", tmp_path / "parts")


def test_a_resumed_run_that_started_from_another_one_is_the_same(recipe, tmp_path, eager):
    recipe = dataclasses.replace(recipe, epochs=1, learning_rates=0.02)
    trained = training.build(dataclasses.replace(recipe, seed=3), training.load_data(recipe).info)
    trained.save(tmp_path / "trained.keras")
    training.run(recipe, tmp_path / "whole", verbose=0, start_from=tmp_path / "trained.keras")
    with pytest.raises(Interrupted):
        training.run(recipe, tmp_path / "parts", [stop_at(0, 3)], verbose=0, start_from=tmp_path / "trained.keras")
    (tmp_path / "trained.keras").unlink()
    with pytest.raises(ValueError, match=r"has begun with other weights, .*trained\.keras\. Received: start_from="):
        training.run(recipe, tmp_path / "parts", verbose=0, resume=True, start_from=tmp_path / "whole")
    training.run(recipe, tmp_path / "parts", verbose=0, resume=True)
    assert_same(tmp_path / "whole", tmp_path / "parts")


@pytest.mark.slow
def test_a_run_resumed_in_any_level_is_the_same(recipe, tmp_path, eager):
    recipe = dataclasses.replace(recipe, epochs=3, learning_rates=0.02, ema=0.9, refinement=("1:1:1/2", "1:1"))
    training.run(recipe, tmp_path / "whole", verbose=0)
    for epoch in (1, 2):  # before the checkpoint of the second level, then of the third
        with pytest.raises(Interrupted):
            training.run(recipe, tmp_path / "parts", [stop_at(epoch, 1)], verbose=0, resume=True)
    training.run(None, tmp_path / "parts", verbose=0, resume=True)
    assert_same(tmp_path / "whole", tmp_path / "parts")
    folder = RunFolder(tmp_path / "parts")
    assert folder.load_model().blocks[0].steps == 2
    assert len(folder.read_history()["loss"]) == len(folder.read_metrics()["levels"]) == 3


def test_a_finished_run_becomes_longer(recipe, tmp_path):
    whole = dataclasses.replace(recipe, ema=0.9)
    short = dataclasses.replace(whole, epochs=(1, 1))
    longer = dataclasses.replace(whole, epochs=(1, 2))
    training.run(longer, tmp_path / "whole", verbose=0)
    training.run(short, tmp_path / "parts", verbose=0)
    training.run(longer, tmp_path / "parts", verbose=0, resume=True)
    assert_same(tmp_path / "whole", tmp_path / "parts")
    assert RunFolder(tmp_path / "parts").read_config()[0] == longer
    for other in (short, whole, dataclasses.replace(longer, learning_rates=(0.05, 0.02))):
        with pytest.raises(ValueError, match=r"only its last phase may become longer\. Received: "):
            training.run(other, tmp_path / "parts", resume=True)


def test_a_damaged_checkpoint_costs_an_epoch(recipe, tmp_path, caplog, eager):
    training.run(recipe, tmp_path / "whole", verbose=0)
    with pytest.raises(Interrupted):
        training.run(recipe, tmp_path / "parts", [stop_at(2, 3)], verbose=0)
    last = CheckpointFolder(tmp_path / "parts" / "checkpoints").paths()[-1]
    last.write_bytes(last.read_bytes()[:-100])
    training.run(recipe, tmp_path / "parts", verbose=0, resume=True)
    assert str(last) in caplog.text
    assert_same(tmp_path / "whole", tmp_path / "parts")


@pytest.mark.slow
def test_a_run_on_two_devices(recipe, tmp_path, two_devices):
    with pytest.raises(ValueError, match="a batch of 15 examples and 2 replicas"):
        training.run(dataclasses.replace(recipe, batch_size=15), tmp_path / "odd", strategy=two_devices)
    assert not (tmp_path / "odd").exists()
    recipe = dataclasses.replace(recipe, drop_remainder=True, synchronized=True)
    training.run(recipe, tmp_path / "whole", verbose=0, strategy=two_devices)
    with pytest.raises(Interrupted):
        training.run(recipe, tmp_path / "parts", [stop_at(1, 3)], verbose=0, strategy=two_devices)
    training.run(recipe, tmp_path / "parts", verbose=0, strategy=two_devices, resume=True)
    assert_same(tmp_path / "whole", tmp_path / "parts")


def test_what_can_be_resumed(recipe, tmp_path):
    run = tmp_path / "run"
    with pytest.raises(ValueError, match="must be named"):
        training.run(recipe, resume=True)
    with pytest.raises(ValueError, match="no run to resume"):
        training.run(None, run, resume=True)
    run.mkdir()
    (run / "config.json.part").write_text("{")
    with pytest.raises(Interrupted):
        training.run(recipe, run, [stop_at(0, 1)], verbose=0, resume=True)
    for again in ({}, {"resume": True}):
        other = dataclasses.replace(recipe, steps=5) if again else recipe
        with pytest.raises(ValueError, match=r"steps=5 \(was 2\)" if again else "must not exist"):
            training.run(other, run, **again)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "text").write_text("mine")
    with pytest.raises(ValueError, match="must not exist"):
        training.run(recipe, tmp_path / "mine", resume=True)


def test_a_run_that_was_interrupted_before_it_began(recipe, tmp_path):
    run, other = tmp_path / "run", tmp_path / "other"
    (run / "checkpoints").mkdir(parents=True)
    (run / "checkpoints" / "epoch-00000.checkpoint").write_bytes(b"from weights that are not asked for now")
    (run / "checkpoints" / "epoch-00000.checkpoint.part").write_bytes(b"")
    with pytest.raises(Interrupted):
        training.run(recipe, run, [stop_at(0, 1)], verbose=0, resume=True)
    assert CheckpointFolder(run / "checkpoints").paths() == []
    (other / "checkpoints").mkdir(parents=True)
    (other / "checkpoints" / "epoch-00001.checkpoint").write_bytes(b"of somebody")
    with pytest.raises(ValueError, match="must not exist"):
        training.run(recipe, other, resume=True)


def test_a_run_is_resumed_with_renamed_data_and_the_same_files_left_out(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for label, name in enumerate("ab"):
        for index in range(10):
            picture(tmp_path / "photos" / name / f"{index}.png", (8, 8), value=90 * label + index)
    (tmp_path / "photos" / "a" / "3.png").write_bytes(b"damaged")
    settings = {"widths": (4,), "steps": 1, "learning_rates": 0.01, "epochs": 2, "batch_size": 4}
    with pytest.raises(Interrupted):
        recipe = Recipe(data="photos", skip_unreadable=True, **settings)
        training.run(recipe, "run", [stop_at(1, 1)], verbose=0)
    (tmp_path / "photos").rename(tmp_path / "pictures")
    moved = dataclasses.replace(recipe, data="pictures")
    (tmp_path / "elsewhere").mkdir()
    with pytest.raises(ValueError, match="no longer at its path"):
        training.run(None, "run", verbose=0, resume=True)
    begin = open_run(moved, "run", resume=True)
    assert begin[1] == "run"
    training.run(moved, "run", verbose=0, resume=True)
    kept, _ = RunFolder("run").read_config()
    assert kept.data == str(tmp_path / "pictures")
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert training.run(None, tmp_path / "run", verbose=0, resume=True).metrics
    (tmp_path / "pictures" / "b" / "3.png").write_bytes(b"damaged")
    with pytest.raises(ValueError, match="which have changed"):
        training.run(None, tmp_path / "run", verbose=0, resume=True)


def test_a_run_finds_its_data_from_every_directory(archive, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copy(archive, "digits.npz")
    recipe = Recipe(data="digits.npz", data_dir="sets")
    info, folder = training.load_data(recipe).info, RunFolder(tmp_path / "run")
    begin_run(folder, recipe, info, model=None, start_from=None)
    kept, _ = folder.read_config()
    assert (kept.data, kept.data_dir) == (str(tmp_path / "digits.npz"), str(tmp_path / "sets"))
    again = dataclasses.replace(recipe, data="../digits.npz", data_dir="../sets")
    monkeypatch.chdir(folder.path)
    for source in (None, "../digits.npz"):  # with the validation part, which other data sets lack
        assert training.load_like(kept, info, source).info == info
    assert open_run(None, folder.path, resume=True)[0] == kept
    assert open_run(again, folder.path, resume=True)[0] == again
    # A run of an earlier version has the path that was typed.
    monkeypatch.chdir(tmp_path)
    folder.write_config(recipe, info)
    assert open_run(kept, folder.path, resume=True)[0] == kept
    assert open_run(recipe, folder.path, resume=True)[0] == recipe
    begin_run(folder, recipe, info, model=None, start_from=None)
    assert folder.read_config()[0] == kept
    (tmp_path / "sets").mkdir()
    moved = (tmp_path / "digits.npz").rename(tmp_path / "sets" / "digits.npz")
    for use in (lambda: training.load_like(kept, info), lambda: open_run(None, folder.path, resume=True)):
        with pytest.raises(ValueError, match=r"no longer at its path.*--data") as error:
            use()
        assert str(error.value).endswith(f"Received: data={kept.data!r}")
    assert training.load_like(kept, info, str(moved)).info.sizes["test"] == info.sizes["test"]
    found, _ = open_run(dataclasses.replace(recipe, data="sets/digits.npz"), folder.path, resume=True)
    begin_run(folder, found, info, model=None, start_from=None)
    assert folder.read_config()[0].data == str(moved)


def test_names_of_data_sets_are_no_paths(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "digits").mkdir()
    (tmp_path / "photos").mkdir()
    names = "digits", "cifar10", "name/config:1.0.0"
    assert tuple(map(absolute, names)) == names
    assert absolute("photos") == absolute("photos/") == str(tmp_path / "photos")
    assert absolute("~/photos") == os.path.expanduser("~/photos")
    cloud = Recipe(data="cifar10", data_dir="gs://bucket/sets")
    assert located(cloud) == cloud


# What follows starts programs.
TINY = ["--architecture", "parabolic", "--widths", "4", "--steps", "1", "--batch-size", "64", "--drop-remainder"]


def command(folder, epochs, *others):
    settings = ["--epochs", epochs, "--learning-rates", "0.05", "--output", folder, "--verbose", "0"]
    return ["-m", "keras_pdecnn", "train", "digits", *TINY, *settings, *others]


def complete(arguments, folder, **settings):
    """Run a command to its end and return its exit code."""
    with cluster.start([(arguments, cluster.environment(**settings))], folder) as processes:
        return cluster.wait(processes, 120)[0]


def wait_for_epochs(folder, epochs, processes, seconds=120):
    """Wait until a run has a checkpoint after so many epochs; None of its processes may end before."""
    end = time.monotonic() + seconds
    checkpoints = CheckpointFolder(folder / "checkpoints")
    while done(checkpoints) < epochs:
        assert all(process.poll() is None for process in processes), "ended too early"
        assert time.monotonic() < end, "no progress"
        time.sleep(0.005)


def done(checkpoints):
    return max((int(path.stem.removeprefix("epoch-")) for path in checkpoints.paths()), default=0)


@pytest.mark.slow
def test_killed_twice(tmp_path):
    """At random moments: while the program starts, in the middle of epochs, while a checkpoint is written.

    The run that is not interrupted is that of a cluster of one worker, which makes no difference either.
    """
    rng = np.random.default_rng(5)
    epochs, run = 20, tmp_path / "parts"
    whole = command(tmp_path / "whole", epochs, "--strategy", "multiworker")
    with cluster.start_workers(1, whole, tmp_path) as processes:
        assert cluster.wait(processes, 120) == [0], cluster.logs(tmp_path)
    for kill in range(2):
        before = done(CheckpointFolder(run / "checkpoints"))
        with cluster.start([(command(run, epochs, "--resume"), cluster.environment())], tmp_path) as processes:
            if kill == 0:
                time.sleep(rng.uniform(0, 3))
            else:
                wait_for_epochs(run, before + rng.integers(1, 3), processes)
                time.sleep(rng.uniform(0, 0.15))
            assert processes[0].poll() is None
            processes[0].kill()
    assert 1 <= done(CheckpointFolder(run / "checkpoints")) < epochs
    assert complete(command(run, epochs, "--resume"), tmp_path) == 0, cluster.logs(tmp_path)
    assert_same(tmp_path / "whole", run)
    assert not list(run.rglob("*.part"))


@pytest.mark.slow
def test_a_killed_worker(tmp_path):
    """The other one stops by itself, with a message, and both go on when they are started again."""
    epochs, arguments = 5, ("--strategy", "multiworker", "--synchronized")
    with cluster.start_workers(2, command(tmp_path / "whole", epochs, *arguments), tmp_path) as processes:
        assert cluster.wait(processes, 120) == [0, 0], cluster.logs(tmp_path)
    run = tmp_path / "parts"
    for victim in (1, 0):
        folder = tmp_path / f"killed{victim}"
        folder.mkdir()
        before = done(CheckpointFolder(run / "checkpoints"))
        with cluster.start_workers(2, command(run, epochs, *arguments, "--resume"), folder) as processes:
            wait_for_epochs(run, before + 1, processes)
            time.sleep(0.3)  # into the next epoch
            assert [process.poll() for process in processes] == [None, None]
            processes[victim].kill()
            assert cluster.wait([processes[1 - victim]], 30) == [1], cluster.logs(folder)
        message = (folder / f"log{1 - victim}.txt").read_text()
        assert f"Error: Worker {1 - victim} of 2 stopped, as another one no longer answers" in message
        assert "--resume" in message
        assert "Traceback" not in message
    assert 2 <= done(CheckpointFolder(run / "checkpoints")) < epochs
    with cluster.start_workers(2, command(run, epochs, *arguments, "--resume"), tmp_path) as processes:
        assert cluster.wait(processes, 120) == [0, 0], cluster.logs(tmp_path)
    assert_same(tmp_path / "whole", run)


@pytest.mark.slow
def test_a_disk_that_fills_up_during_a_run(tmp_path):
    run, epochs = tmp_path / "run", 200
    with cluster.start([(command(run, epochs), cluster.environment())], tmp_path) as processes:
        wait_for_epochs(run, 2, processes)
        # As on a full disk, files end early; the history is shorter than that, a checkpoint is longer.
        resource.prlimit(processes[0].pid, resource.RLIMIT_FSIZE, (9_000, 9_000))
        assert cluster.wait(processes, 60) == [1]
    lines = (tmp_path / "log0.txt").read_text().strip().splitlines()
    assert lines[-1].startswith("Error: The checkpoint ")
    assert "File too large" in lines[-1]
    checkpoints = CheckpointFolder(run / "checkpoints")
    last = checkpoints.read_last()
    assert last.epoch == done(checkpoints) >= 2
    assert str(checkpoints.paths()[-1]) in lines[-1]
