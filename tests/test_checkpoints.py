"""Checkpoints: what they hold, that damage is noticed, that writing never harms the ones before."""

import contextlib
import os
import pathlib
import resource
import signal
import tempfile

import keras
import numpy as np
import pytest

from keras_pdecnn.runs.checkpoints import Checkpoint, CheckpointError, CheckpointFolder, CheckpointWriter
from keras_pdecnn.utils import files


@pytest.fixture
def model():
    """Return a small compiled model with a random layer and an optimiser that has a state, trained a little."""
    layers = [keras.Input((4,)), keras.layers.Dense(3), keras.layers.Dropout(0.5), keras.layers.BatchNormalization()]
    model = keras.Sequential([*layers, keras.layers.Dense(1)])
    model.compile(keras.optimizers.Adam(), "mse", metrics=["mae"])
    fit(model, 2)
    return model


def fit(model, epochs, **settings):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(24, 4)), rng.normal(size=(24, 1))
    model.fit(x, y, batch_size=8, epochs=epochs, shuffle=False, verbose=0, **settings)


def values(model):
    return [np.array(variable) for variable in (*model.variables, *model.optimizer.variables)]


def equal(a, b):
    return all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


def test_training_goes_on_from_a_checkpoint(model, tmp_path):
    folder = CheckpointFolder(tmp_path)
    folder.write(Checkpoint.of(model, 2, 1.5))
    fit(model, 3)
    other = keras.models.clone_model(model)
    other.compile(keras.optimizers.Adam(), "mse", metrics=["mae"])
    last = folder.read_last()
    assert (last.epoch, last.seconds) == (2, 1.5)
    last.restore(other)
    fit(other, 3)
    # The masks of the random layer go on where they were, and so does the optimiser.
    assert equal(values(model), values(other))


def test_the_number_of_checkpoints_is_bounded(model, tmp_path):
    folder = CheckpointFolder(tmp_path / "new", keep=2)
    assert folder.read_last() is None
    fit(model, 12, initial_epoch=8, callbacks=[CheckpointWriter(folder, 5.0)])
    assert sorted(path.name for path in folder.path.iterdir()) == ["epoch-00011.checkpoint", "epoch-00012.checkpoint"]
    assert folder.read_last().epoch == 12
    assert folder.read_last().seconds > 5
    assert equal(folder.read_last().values, values(model))


def test_an_epoch_that_stopped_the_training_has_no_checkpoint(model, tmp_path):
    folder = CheckpointFolder(tmp_path)
    stop = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: setattr(model, "stop_training", epoch == 1))
    fit(model, 4, callbacks=[stop, CheckpointWriter(folder)])
    assert folder.read_last().epoch == 1


@pytest.mark.parametrize("damage", ["cut", "empty", "flipped", "other"])
def test_a_damaged_checkpoint_is_named_and_the_one_before_is_used(model, tmp_path, caplog, rng, damage):
    folder = CheckpointFolder(tmp_path)
    for epoch in (1, 2):
        folder.write(Checkpoint.of(model, epoch, 0.0))
    path = folder.paths()[-1]
    whole = path.read_bytes()
    for _ in range(40):
        content = bytearray(whole)
        if damage == "cut":
            content = content[: rng.integers(len(whole))]
        elif damage == "empty":
            content = b""
        elif damage == "other":
            content = rng.bytes(100)
        else:
            content[rng.integers(len(whole))] ^= 1 << rng.integers(8)
        path.write_bytes(content)
        caplog.clear()
        assert folder.read_last().epoch == 1
        assert [str(path) in record.getMessage() for record in caplog.records] == [True]
    path.write_bytes(whole)
    assert folder.read_last().epoch == 2
    for path in folder.paths():
        path.write_bytes(b"")
    assert folder.read_last() is None


def test_a_checkpoint_of_another_network(model, tmp_path):
    other = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    other.compile("sgd", "mse")
    before = values(other)
    with pytest.raises(ValueError, match="another network"):
        Checkpoint.of(model, 1, 0.0).restore(other)
    assert equal(values(other), before)


@pytest.fixture
def two_written(model, tmp_path):
    """Return a folder with two checkpoints."""
    folder = CheckpointFolder(tmp_path / "checkpoints")
    for epoch in (1, 2):
        folder.write(Checkpoint.of(model, epoch, 0.0))
    return folder


@pytest.fixture
def as_anybody():
    """Return a context in which permissions count, which they do not for root."""

    @contextlib.contextmanager
    def drop():
        os.seteuid(65534)
        try:
            yield
        finally:
            os.seteuid(0)

    return drop if os.geteuid() == 0 else contextlib.nullcontext


def test_no_permission(model, as_anybody):
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, 0o755)
        folder = CheckpointFolder(pathlib.Path(name, "checkpoints"))
        for epoch in (1, 2):
            folder.write(Checkpoint.of(model, epoch, 0.0))
        before = {path: path.read_bytes() for path in folder.paths()}
        folder.path.chmod(0o555)
        with as_anybody(), pytest.raises(CheckpointError, match=r"epoch-00003.*Permission denied.*epoch-00002"):
            folder.write(Checkpoint.of(model, 3, 0.0))
        folder.path.chmod(0o755)
        assert {path: path.read_bytes() for path in folder.path.iterdir()} == before


def test_a_file_that_cannot_be_written_to_its_end(model, two_written):
    """As on a full disk: writing fails in the middle."""
    before = {path: path.read_bytes() for path in two_written.paths()}
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(CheckpointError, match=r"epoch-00003.*File too large.*epoch-00002"):
            two_written.write(Checkpoint.of(model, 3, 0.0))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert {path: path.read_bytes() for path in two_written.path.iterdir()} == before
    assert two_written.read_last().epoch == 2


@pytest.mark.parametrize("moment", ["write", "fsync", "replace"])
def test_an_interruption_leaves_the_old_file(tmp_path, monkeypatch, moment):
    path = tmp_path / "file"
    files.replace(path, b"old")

    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        if moment == "replace":
            patch.setattr(type(path), "replace", interrupted)
        elif moment == "fsync":
            patch.setattr(os, "fsync", interrupted)
        else:
            patch.setattr("builtins.open", interrupted)
        with pytest.raises(KeyboardInterrupt):
            files.replace(path, b"new")
    assert path.read_bytes() == b"old"
    files.replace(path, b"new")
    assert path.read_bytes() == b"new"
    assert [each.name for each in tmp_path.iterdir()] == ["file"]
