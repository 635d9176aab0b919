"""Arrays, tf.data datasets and PyDatasets as sources."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers.data_sets import arrays, ids, numbered

from keras_pdecnn import data
from keras_pdecnn.data import memory
from keras_pdecnn.recipes import Recipe

X, Y = numbered(60)


class Batches(keras.utils.PyDataset):
    """A PyDataset of three batches."""

    def __len__(self):
        return 3

    def __getitem__(self, index):
        return X[20 * index : 20 * index + 20], Y[20 * index : 20 * index + 20]


class Endless(Batches):
    def __len__(self):
        raise ValueError("no length")

    @property
    def num_batches(self):
        return None


def dataset(*, batch=16, y=Y):
    made = tf.data.Dataset.from_tensor_slices((X, y))
    return made.batch(batch) if batch else made


@pytest.mark.parametrize(
    "source",
    [
        (X, Y),
        (X, np.eye(4)[Y]),
        (tf.constant(X), Y.tolist()),
        dataset(),
        dataset(batch=None),
        dataset(y=np.eye(4)[Y]),
        dataset(y=Y[:, None]),
        Batches(),
    ],
    ids=lambda source: type(source).__name__,
)
def test_one_part(source):
    loaded, expected = data.load(source, 8, validation=0), data.load((X, Y), 8, validation=0)
    assert loaded.info == expected.info
    assert loaded.info.sizes == {"train": 48, "validation": 0, "test": 12}
    assert loaded.info.name == "arrays"
    for part in ("train", "test"):
        for one, two in zip(arrays(getattr(loaded, part)), arrays(getattr(expected, part)), strict=True):
            np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("test", [(X[:20], Y[:20]), dataset().take(1), Batches()])
def test_two_parts(test):
    loaded = data.load(((X, Y), test), 8, validation=0.5)
    assert loaded.info.sizes["train"] == loaded.info.sizes["validation"] == 30
    x, y = arrays(loaded.test)
    np.testing.assert_array_equal(ids(x), np.arange(len(x)))
    np.testing.assert_array_equal(y, Y[: len(x)])


@pytest.mark.parametrize("kind", [object, str])
def test_names(kind):
    names = np.array(["emu", "ant", "dog", "bee"])[Y].astype(kind)
    assert data.load((X, names)).info.class_names == ("ant", "bee", "dog", "emu")
    if kind is str:
        assert data.load(dataset(y=names)).info.class_names == ("ant", "bee", "dog", "emu")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ((X, Y, X), r"a pair \(train, test\).*Received: source=\(<ndarray of shape"),
        ((X, Y[:-1]), "y must have one label per example. Received: 59 labels, 60 examples"),
        (((X, Y), dataset(), Batches()), "a pair"),
        ((dataset(), X), r"Each part of \(train, test\)"),
        ((np.zeros((8, 28, 28)), Y[:8]), r"may be images without an axis .*Received: source=.*\(8, 28, 28\)"),
        ((X, [[1], [1, 2]]), r"y must be an array. Received: list"),
        ((X * np.nan, Y), "x must be finite.*example 0"),
        (dataset().repeat(), "must end; this one repeats for ever"),
        (dataset().map(lambda x, y: x), r"must yield pairs \(x, y\)"),
        (dataset().map(lambda x, y: {"x": x, "y": y}), r"must yield pairs \(x, y\)"),
        (dataset().take(0), "must not be empty"),
        (dataset().map(lambda x, y: (x, y[:3])), "a batch of 16 examples and 3 labels"),
        (Endless(), "this one has no length"),
    ],
)
def test_refused(source, message):
    with pytest.raises(ValueError, match=message) as caught:
        data.load(source)
    assert "Received: " in str(caught.value)


def test_a_dataset_larger_than_the_limit(monkeypatch):
    monkeypatch.setattr(memory, "MEMORY_LIMIT", X.nbytes - 1)
    with pytest.raises(ValueError, match="which needs"):
        data.load(dataset())


@pytest.mark.parametrize("setting", ["size", "sampling_rate"])
def test_settings_of_files_are_refused(setting):
    with pytest.raises(ValueError, match=f"`{setting}` is for folders.*Received: source=.*{setting}="):
        data.load((X, Y), **{setting: 4})


def test_a_recipe_refuses_what_a_file_cannot_hold():
    with pytest.raises(ValueError, match=r"data must be a name or a path.*Received: data=\(<ndarray"):
        Recipe(data=(X, Y))
