"""TensorFlow Datasets, prepared in a temporary folder."""

import os
from typing import ClassVar

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from helpers.data_sets import arrays, assert_equal_batches, batches, ids

from keras_pdecnn import data
from keras_pdecnn.data import memory
from keras_pdecnn.data.sources import records
from keras_pdecnn.data.sources.index import NAME

IMAGE = tfds.features.Image(shape=(None, None, 3))
LABEL = tfds.features.ClassLabel(names=["left", "right"])


class Tiny(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """A base for small data sets: `splits`, `example` and `label` say what is in them."""

    VERSION = tfds.core.Version("1.0.0")
    splits: ClassVar = {"train": 40, "test": 10}
    feature = IMAGE
    label = LABEL
    supervised = ("x", "y")

    def _info(self):
        features = tfds.features.FeaturesDict({"x": self.feature, "y": self.label})
        return tfds.core.DatasetInfo(builder=self, features=features, supervised_keys=self.supervised)

    def _split_generators(self, _):
        return {split: self._generate_examples(split) for split in self.splits}

    def _generate_examples(self, split):
        for index in range(self.splits[split]):
            yield index, {"x": self.example(index), "y": index % 2}

    def example(self, index):
        return np.full((4, 5, 3), index, np.uint8)


class PdeImages(Tiny):
    """Images of one size."""


class PdeOnlyTrain(Tiny):
    """No test split."""

    splits: ClassVar = {"train": 50}


class PdeValidation(Tiny):
    """A validation split in place of a test split."""

    splits: ClassVar = {"train": 40, "validation": 6, "extra": 2}


class PdeNoTrain(Tiny):
    """No training split."""

    splits: ClassVar = {"test": 10}


class PdeUnsupervised(Tiny):
    """No supervised keys."""

    supervised = None


class PdeMixedSizes(Tiny):
    """Images that differ in size."""

    def example(self, index):
        return np.full((4 + index % 3, 5, 3), index, np.uint8)


class PdeSignals(Tiny):
    """Signals that differ in length."""

    feature = tfds.features.Audio(dtype=np.int16)

    def example(self, index):
        return np.full(3 + index % 4, index + 1, np.int16)


class PdeMasks(Tiny):
    """A mask for each image, and no test split."""

    splits: ClassVar = {"train": 5}
    label = tfds.features.Image(shape=(None, None, 1))

    def _generate_examples(self, split):
        for index in range(self.splits[split]):
            mask = np.zeros((4, 6, 1), np.uint8)
            mask[:, 3:] = 1
            yield index, {"x": np.repeat(200 * mask, 3, axis=-1), "y": mask}


class PdeText(Tiny):
    """No numbers."""

    feature = tfds.features.Text()

    def example(self, index):
        return "text"


class PdeUnreachable(Tiny):
    """Cannot be downloaded."""

    def _split_generators(self, _):
        raise ConnectionError("no route to host")


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    folder = str(tmp_path_factory.mktemp("tfds"))
    tfds.disable_progress_bar()
    config = tfds.download.DownloadConfig(try_download_gcs=False)
    for builder in Tiny.__subclasses__():
        if builder not in (PdeUnreachable, PdeShards):
            builder(data_dir=folder).download_and_prepare(download_config=config)
    return folder


@pytest.fixture
def prepared(data_dir, monkeypatch):
    """Loads a prepared data set; a download is an error."""

    def download(*args, **kwargs):
        raise AssertionError("must not download")

    monkeypatch.setattr(tfds.core.DatasetBuilder, "download_and_prepare", download)
    return lambda name, **kwargs: data.load(name, 8, data_dir=data_dir, **kwargs)


@pytest.mark.parametrize("name", ["pde_images", "pde_images:1.0.0"])
def test_tfds(prepared, name):
    loaded = prepared(name, validation=0.2)
    assert loaded.info == data.Info(
        name=name,
        input_shape=(4, 5, 3),
        classes=2,
        class_names=("left", "right"),
        sizes={"train": 32, "validation": 8, "test": 10},
        dtype="uint8",
    )
    x, y = arrays(loaded.train)
    np.testing.assert_array_equal(ids(x) % 2, y)
    held_out, labels = arrays(loaded.validation)
    assert np.bincount(labels).tolist() == [4, 4]
    assert sorted([*ids(x), *ids(held_out)]) == list(range(40))
    assert sorted(ids(arrays(loaded.test)[0])) == list(range(10))


def test_tfds_without_a_test_split(prepared):
    loaded = prepared("pde_only_train", validation=0)
    assert loaded.info.sizes == {"train": 40, "validation": 0, "test": 10}
    train, test = ids(arrays(loaded.train)[0]), ids(arrays(loaded.test)[0])
    assert sorted([*train, *test]) == list(range(50))
    assert prepared("pde_validation", validation=0).info.sizes == {"train": 40, "validation": 0, "test": 6}


@pytest.mark.parametrize(
    "name, message",
    [
        ("pde_no_train", "must have a split 'train'. Received: 'pde_no_train' with test"),
        ("pde_unsupervised", "must have supervised keys .*Received: 'pde_unsupervised' with None"),
        ("pde_text", "must be arrays of numbers. Received: pde_text/1.0.0, split 'train' with TensorSpec"),
        (
            "pde_mixed_sizes",
            r"give `size`.*Received: \(\d, 5, 3\) in example 0 and \(\d, 5, 3\) in .*size=None",
        ),
        (
            "pde_signals",
            r"give `size`.*Received: \(\d, 1\) in example 0 and \(\d, 1\) in example \d+, size=None",
        ),
        ("pde_images/none", "`source` must be .*Received: source='pde_images/none'"),
    ],
)
def test_tfds_that_cannot_be_used(prepared, name, message):
    with pytest.raises(ValueError, match=message):
        prepared(name)


def test_tfds_images_are_resized(prepared):
    loaded = prepared("pde_mixed_sizes", size=(3, 6), validation=0)
    assert loaded.info.input_shape == (3, 6, 3) and loaded.info.dtype == "uint8"
    x, _ = arrays(loaded.train)
    np.testing.assert_array_equal(x, np.broadcast_to(x[:, :1, :1, :1], x.shape))  # constant images stay so
    assert sorted(ids(x)) == list(range(40))


def test_tfds_signals_are_padded_or_cropped(prepared):
    loaded = prepared("pde_signals", size=5, validation=0)
    assert loaded.info.input_shape == (5, 1) and loaded.info.dtype == "int16"
    for example in arrays(loaded.train)[0][..., 0]:
        length = 3 + (example[0] - 1) % 4
        np.testing.assert_array_equal(example, [example[0]] * min(length, 5) + [0] * (5 - length))
    with pytest.raises(ValueError, match=r"`size` must be a length for signals.*Received: size=\(5, 5\)"):
        prepared("pde_signals", size=(5, 5))


def test_tfds_larger_than_the_limit(prepared, monkeypatch):
    monkeypatch.setattr(memory, "MEMORY_LIMIT", 1000)
    with pytest.raises(ValueError, match=r"pde_images/1.0.0, split 'train', which needs"):
        prepared("pde_images")


# Streamed


class PdeShards(Tiny, skip_registration=True):
    """Images of two sizes in several files."""

    splits: ClassVar = {"train": 100, "test": 20}

    def example(self, index):
        return np.full((4 + index % 2, 5, 3), index, np.uint8)


@pytest.fixture(params=["tfrecord", "array_record"])
def shards(request, tmp_path):
    """Return a function that loads a data set of several files, and the folder of the files."""
    if request.param == "array_record":
        pytest.importorskip("array_record")
    builder = PdeShards(data_dir=str(tmp_path), file_format=request.param)
    builder.download_and_prepare(download_config=tfds.download.DownloadConfig(try_download_gcs=False, num_shards=3))
    return lambda **kwargs: data.load("pde_shards", 16, data_dir=str(tmp_path), **kwargs), builder.data_path


def test_streamed_records_are_those_in_memory(shards, monkeypatch):
    load, folder = shards
    settings = {"size": (4, 5), "validation": 0.2}
    held, streamed = (load(in_memory=flag, **settings) for flag in (True, False))
    assert held.info == streamed.info and len(list(folder.glob(f"{NAME}*"))) == 2
    for name in ("train", "validation", "test"):
        assert_equal_batches(batches(getattr(held, name), -1), batches(getattr(streamed, name), -1))
    for scan in ("_scan_shards", "_scan_array_records"):
        monkeypatch.setattr(records, scan, None)  # what is known is not found out again
    assert load(in_memory=False, **settings).info == held.info
    monkeypatch.undo()

    cropped, random = (load(size=3, crop=crop, validation=0) for crop in ("center", "random"))
    assert type(cropped.training.examples.x).__name__ == "Held"
    assert_equal_batches(
        batches(cropped.train, 2), batches(load(size=3, crop="center", in_memory=False, validation=0).train, 2)
    )
    x, y = arrays(random.train)
    np.testing.assert_array_equal(ids(x) % 2, y)
    assert sorted(ids(x)) == list(range(100))
    # The first examples of the two parts may differ as well.
    differ = r"ReadError: The examples of .* give `size` to make them equal|must have one shape and type"
    with pytest.raises((ValueError, tf.errors.OpError), match=differ):
        arrays(load(in_memory=False).train)


def test_damaged_records(tmp_path):
    builder = PdeShards(data_dir=str(tmp_path))
    builder.download_and_prepare(download_config=tfds.download.DownloadConfig(try_download_gcs=False))
    load = lambda: data.load("pde_shards", data_dir=str(tmp_path), size=4, in_memory=False)  # noqa: E731
    path = next(builder.data_path.glob("*-train.*"))
    whole = path.read_bytes()
    loaded = load()
    for damaged in (whole[:-20], whole[:-200] + b"x" + whole[-199:]):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"Not a readable TFRecord file .*Received: '.*-train\.tfrecord"):
            load()
    end = 0
    for _ in range(50):  # whole records
        end += int.from_bytes(whole[end : end + 8], "little") + 16
    path.write_bytes(whole[:end])
    with pytest.raises(
        ValueError, match=r"must hold 100 examples\. Received: pde_shards/1\.0\.0, split 'train' with 50"
    ):
        load()
    with pytest.raises(tf.errors.OpError, match="ReadError: A file of the data set has changed"):
        arrays(loaded.train)


def test_tfds_that_cannot_be_downloaded(tmp_path):
    with pytest.raises(
        ValueError, match=r"not prepared in data_dir and could not be downloaded.*no route to host"
    ) as e:
        data.load("pde_unreachable", data_dir=str(tmp_path))
    assert "Received: source='pde_unreachable', data_dir=" in str(e.value) and os.fspath(tmp_path) in str(e.value)


def test_masks(prepared):
    loaded = prepared("pde_masks", task="segmentation", validation=0)
    assert (loaded.info.input_shape, loaded.info.classes) == ((4, 6, 3), 2)
    assert loaded.info.sizes == {"train": 4, "validation": 0, "test": 1}
    for settings, shape in (({}, (4, 6)), ({"size": (8, 12)}, (8, 12))):
        x, y = next(prepared("pde_masks", task="segmentation", validation=0, **settings).test.as_numpy_iterator())
        assert y.shape[1:] == shape
        np.testing.assert_array_equal(x[..., 0] > 100, y == 1)
    with pytest.raises(ValueError, match=r"an image and a mask, .* Received: 'pde_images' with x, y"):
        prepared("pde_images", task="segmentation")
    with pytest.raises(ValueError, match="held in memory"):
        prepared("pde_masks", task="segmentation", in_memory=False)
