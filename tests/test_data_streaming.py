"""Streamed data sets: the batches of those in memory, in parts for several replicas, and what goes wrong on the way."""

import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from helpers.data_sets import archive, arrays, assert_equal_batches, batches, ids, numbered, picture
from PIL import Image

from keras_pdecnn import data
from keras_pdecnn.data import memory
from keras_pdecnn.data.crops import Crop
from keras_pdecnn.data.pipeline import Piece
from keras_pdecnn.data.sources.index import NAME

PAPER = data.Augmentation(flip=True, pad=1 / 4, noise=0.1)


def photographs(folder, count=12, size=(24, 18)):
    """Write a folder of two classes of noisy JPEG files."""
    rng = np.random.default_rng(0)
    for index in range(count):
        path = folder / "ab"[index % 2] / f"{index:02d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (*size[::-1], 3), np.uint8)).resize(size).save(path)
    return str(folder)


def sources(folder):
    """Return one source of each kind that can be streamed, and the settings that it needs."""
    x, y = numbered(60, (4, 4), 3, dtype=np.uint8)
    return {
        "npz": (archive(folder, class_names=list("abcd")), {}),
        "floats": (archive(folder, "floats.npz", x_train=numbered(80)[0] / 7, x_test=numbered(40)[0] / 7), {}),
        "channels": (
            archive(folder, "c.npz", x_train=numbered(80)[0][..., 0], x_test=numbered(40)[0][..., 0], layout="signals"),
            {},
        ),
        "arrays": ((x, y), {}),
        "folder": (photographs(folder / "photos"), {"size": 8, "crop": "center"}),
        "whole": (photographs(folder / "photos"), {"size": (6, 8)}),
    }


@pytest.mark.parametrize("kind", ["npz", "floats", "channels", "arrays", "folder", "whole"])
def test_streamed_batches_are_those_in_memory(tmp_path, kind):
    source, settings = sources(tmp_path)[kind]
    settings |= {"augmentation": PAPER, "seed": 3, "validation": 0.2}
    held, streamed = (data.load(source, 8, in_memory=flag, **settings) for flag in (True, False))
    assert held.info == streamed.info
    assert_equal_batches(batches(held.train, 9), batches(streamed.train, 9))
    for name in ("validation", "test"):
        assert_equal_batches(batches(getattr(held, name), -1), batches(getattr(streamed, name), -1))
    if kind == "npz":
        assert_equal_batches(batches(held.epochs(2), 3), batches(streamed.epochs(2), 3))
        assert data.load("digits", in_memory=False).info == data.load("digits").info


def test_large_data_sets_are_streamed(tmp_path, monkeypatch):
    path = archive(tmp_path)
    x = lambda **settings: type(data.load(path, **settings).training.examples.x).__name__  # noqa: E731
    assert x() == "Held"
    monkeypatch.setattr(memory, "STREAMING_LIMIT", 1000)
    assert (x(), x(in_memory=True)) == ("NpzExamples", "Held")
    assert type(data.load(archive(tmp_path, "c.npz", compressed=True)).training.examples.x).__name__ == "Held"


# Parts of batches


@pytest.mark.parametrize(
    "augmentation",
    [
        None,
        data.Augmentation(flip=True, pad=1 / 4, rotate=10, zoom=0.1, gain=0.1, noise=0.2, cutout=0.3, rand_augment=1),
        data.Augmentation(mixup=0.4, cutmix=1.0, time_mask=0.5, frequency_mask=0.3),
    ],
)
def test_parts_make_up_the_batches(augmentation):
    x = np.random.default_rng(0).integers(0, 256, (50, 6, 6, 3), dtype=np.uint8)
    loaded = data.load((x, np.arange(50) % 2), 16, augmentation=augmentation, validation=0.2)
    whole = batches(loaded.epochs(1), 2)
    parts = [batches(loaded.training.endless(1, [Piece(n, 4) for n in worker]), 4) for worker in ((0, 1), (2, 3))]
    for index, (x, y) in enumerate(whole):
        mine = [part for worker in parts for part in worker[2 * index : 2 * index + 2]]
        assert {len(part[0]) for part in mine} == {len(x) // 4}
        # The same numbers added in another order differ by less than one unit in the last place of uint8.
        np.testing.assert_allclose(np.concatenate([part[0] for part in mine]).astype(float), x, atol=1)
        np.testing.assert_array_equal(np.concatenate([part[1] for part in mine]), y)
    pieces = loaded.evaluation["test"].in_order([Piece(n, 4) for n in range(4)])
    assert_equal_batches([tuple(map(np.concatenate, zip(*batches(pieces, -1), strict=True)))], batches(loaded.test, -1))


def test_each_worker_reads_its_own_examples(tmp_path, monkeypatch):
    loaded = data.load(archive(tmp_path), 16, in_memory=False, validation=0)
    read = []
    examples = loaded.training.examples.x
    plain = type(examples).read
    monkeypatch.setattr(type(examples), "read", lambda self, rows, w=None: (read.extend(rows), plain(self, rows, w))[1])
    of_workers = []
    for worker in range(2):
        read.clear()
        batches(loaded.training._batches(tf.data.Dataset.range(1), [Piece(worker, 2)]), -1)
        of_workers.append(list(read))
    assert len(of_workers[0]) == 40 and sorted(of_workers[0] + of_workers[1]) == list(range(80))


# Images of natural size


def test_windows():
    assert Crop("center").box((30, 40), (10, 20)) == (0.0, 12.5, 30.0, 27.5)
    left, top, right, bottom = Crop("random").box((80, 40), (10, 10))
    assert (right - left, bottom - top, left + right, top + bottom) == (35, 35, 80, 40)
    for draws in np.random.default_rng(0).random((200, 4)):
        left, top, right, bottom = Crop("random", 0.2).box((80, 60), (8, 8), draws)
        assert 0 <= left < right <= 80 and 0 <= top < bottom <= 60
        assert 0.15 * 80 * 60 < (right - left) * (bottom - top) <= 80 * 60


def test_random_windows_follow_the_seed_and_differ_by_epoch(tmp_path):
    load = lambda seed=0: data.load(  # noqa: E731
        photographs(tmp_path), 4, size=8, crop="random", validation=0, seed=seed
    )
    first, again, other = (batches(load(seed).train, 4) for seed in (0, 0, 1))
    assert_equal_batches(first, again)
    assert any((a[0] != b[0]).any() for a, b in zip(first, other, strict=True))
    loaded = load()
    assert loaded.info.crop == "random" and first[0][0].dtype == np.uint8 and first[0][0].shape[1:] == (8, 8, 3)
    rows = tf.constant([0, 0], tf.int64)
    one, two = loaded.training.examples.x.batch(rows, tf.constant([[0.1] * 4, [0.9] * 4])).numpy()
    assert (one != two).any()
    centre = loaded.training.examples.x.batch(rows[:1]).numpy()[0]
    window = Crop("random")
    path = loaded.training.examples.x.paths[0]
    np.testing.assert_array_equal(centre, data.read_image(path, (8, 8, 3), window))
    parts = [batches(load().training.endless(0, [Piece(n, 2)]), 1)[0][0] for n in range(2)]
    np.testing.assert_array_equal(np.concatenate(parts), first[0][0])


def test_a_window_is_what_is_cropped_from_the_image(tmp_path):
    x = np.zeros((40, 80, 3), np.uint8)
    x[:, 20:60] = 200
    Image.fromarray(x).save(tmp_path / "a.png")
    window = data.read_image(tmp_path / "a.png", (8, 8, 3), Crop("center"))
    assert (window[:, 1:-1] == 200).all() and (window >= 170).all()  # the filter reads a little beyond the edges
    large = np.kron(x, np.ones((4, 4, 1), np.uint8))
    Image.fromarray(large).save(tmp_path / "a.jpg", quality=95)  # decoded at a fraction of its size
    assert np.abs(data.read_image(tmp_path / "a.jpg", (8, 8, 3), Crop("center")).astype(int)[:, 1:-1] - 200).max() <= 4


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"crop": "middle", "size": 8}, "crop must be one of|`crop`"),
        ({"crop": "center"}, "`crop` needs the `size` .*crop='center', size=None"),
        ({"crop": "random", "size": 8, "in_memory": True}, "for each batch. Received: crop='random', in_memory=True"),
        ({"crop": "random", "size": 8, "crop_area": 0}, "crop_area"),
        (
            {"crop": "random", "size": 8, "crop_area": 1.5},
            r"crop_area must be a number in \(0, 1\]. Received: crop_area=1.5",
        ),
        ({"in_memory": "yes"}, "in_memory"),
    ],
)
def test_wrong_settings(tmp_path, settings, message):
    with pytest.raises(ValueError, match=message):
        data.load(photographs(tmp_path), **settings)


def test_what_cannot_be_streamed_or_cropped(tmp_path):
    with pytest.raises(ValueError, match=r"not compressed, .* can be streamed\. Received: .*in_memory=False"):
        data.load(archive(tmp_path, compressed=True), in_memory=False)
    dataset = tf.data.Dataset.from_tensor_slices(numbered(20)).batch(4)
    with pytest.raises(ValueError, match=r"read into memory; arrays can be streamed.*in_memory=False"):
        data.load(dataset, in_memory=False)
    with pytest.raises(ValueError, match=r"`crop` is for folders of images.*crop=center"):
        data.load(archive(tmp_path), size=4, crop="center")


# What is kept beside the files, and what goes wrong


def test_headers_are_read_once(tmp_path, monkeypatch):
    from keras_pdecnn.data.sources.media import Images

    load = lambda: data.load(photographs_once, size=8, in_memory=False, skip_unreadable=True)  # noqa: E731
    photographs_once = photographs(tmp_path)
    (tmp_path / "b" / "05.jpg").write_bytes((tmp_path / "b" / "05.jpg").read_bytes()[:-40])
    first = load()
    assert first.info.skipped == (str(tmp_path / "b" / "05.jpg"),)
    assert len(json.loads((tmp_path / f"{NAME}.json").read_text())) == 12

    def measured(path):
        raise AssertionError("is known")

    monkeypatch.setattr(Images, "measure", staticmethod(measured))
    assert load().info == first.info
    with pytest.raises(ValueError, match=r"Not a readable image.*05\.jpg"):
        data.load(photographs_once, size=8, in_memory=False)
    monkeypatch.undo()
    (tmp_path / f"{NAME}.json").write_text("{damaged")
    picture(tmp_path / "b" / "05.jpg")
    assert load().info.skipped == ()


def test_a_folder_that_cannot_be_written_to(tmp_path, monkeypatch):
    def refuse(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", refuse)
    assert data.load(photographs(tmp_path), size=8, in_memory=False).info.sizes["test"] == 2
    assert not list(tmp_path.glob(f"{NAME}*"))


def read_all(loaded):
    """Read all batches, and return the message of the error."""
    with pytest.raises(tf.errors.OpError) as error:
        arrays(loaded.train)
    return str(error.value).replace("\\'", "'")  # as TensorFlow writes a quotation mark


def test_files_that_change_while_they_are_read(tmp_path):
    source = photographs(tmp_path / "photos")
    loaded = data.load(source, 4, size=8, in_memory=False, validation=0)
    path = loaded.training.examples.x.paths[3]
    content = pathlib.Path(path).read_bytes()
    pathlib.Path(path).write_bytes(content + b"more")
    assert f"A file of the data set has changed since the data set was loaded. Received: {path!r}" in read_all(loaded)
    os.unlink(path)
    assert f"cannot be read (No such file or directory). Received: {path!r}" in read_all(loaded)
    pathlib.Path(path).write_bytes(content[:-100])
    assert f"--skip-unreadable) leaves out such files and names them. Received: {path!r}" in read_all(
        data.load(source, 4, size=8, in_memory=False, validation=0)
    )


def test_an_archive_that_changes_while_it_is_read(tmp_path):
    path = archive(tmp_path)
    loaded = data.load(path, in_memory=False, validation=0)
    os.replace(archive(tmp_path, "other.npz", x_train=np.zeros((80, 4, 1), np.int32)), path)
    assert sorted(ids(arrays(loaded.train)[0])) == list(range(80))  # the file that was opened
    loaded = data.load(path, in_memory=False, validation=0)
    os.truncate(path, 500)
    assert "has changed since the data set was loaded" in read_all(loaded)


def test_numbers_that_are_not_finite(tmp_path):
    x = np.ones((80, 4, 1), np.float32)
    x[7] = np.nan
    loaded = data.load(archive(tmp_path, x_train=x, x_test=x[:40] * 0), in_memory=False, validation=0)
    assert "x_train must be finite. Received: NaN or infinite values in example 7" in read_all(loaded)


PROGRAM = """
import sys
import tensorflow as tf
from keras_pdecnn import data

loaded = data.load(sys.argv[1], 1, size=64, in_memory=False, validation=0)
try:
    for _ in loaded.train:
        pass
except tf.errors.OpError as error:
    kept = error
    print("stopped")
"""


@pytest.mark.slow
def test_a_program_ends_while_files_are_read(tmp_path):
    """Threads of TensorFlow that call Python while it ends would keep it from ending, in two of three runs."""
    source = photographs(tmp_path / "photos", count=60, size=(240, 180))
    path = pathlib.Path(source, "b", "31.jpg")
    path.write_bytes(path.read_bytes()[:-300])
    command = [sys.executable, "-c", PROGRAM, source]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert result.stdout.split() == ["stopped"]
    assert "Traceback" not in result.stderr
