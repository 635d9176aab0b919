"""Data sets in .npz files."""

import zipfile
from pathlib import Path

import numpy as np
import pytest
from helpers.data_sets import PAPER, archive, arrays, numbered

from keras_pdecnn import data
from keras_pdecnn.data import memory


@pytest.mark.parametrize(
    "space, dtype", [((9,), np.int16), ((4, 5), np.uint8), ((4, 5), np.float32), ((3, 4, 5), np.uint8)]
)
def test_npz_keeps_shape_and_type(tmp_path, space, dtype):
    x, y = numbered(60, space, 2, dtype=dtype)
    path = archive(tmp_path, x_train=x, y_train=y, x_test=x[:8], y_test=y[:8], compressed=True)
    loaded = data.load(path, 10, augmentation=PAPER, validation=0)
    assert loaded.info.name == "set" and loaded.info.input_shape == (*space, 2)
    assert loaded.info.dtype == np.dtype(dtype).name
    seen, _ = arrays(loaded.train)
    assert seen.dtype == dtype and seen.shape == x.shape
    np.testing.assert_array_equal(arrays(loaded.test)[0], x[:8])


@pytest.mark.parametrize("given, read", [("f8", "float32"), ("bool", "uint8"), (">i2", "int16")])
def test_npz_converts_what_tensorflow_or_keras_would_not_take(tmp_path, given, read):
    x = (np.arange(20).reshape(10, 2, 1) % 2).astype(given)
    y = np.arange(10) % 2
    loaded = data.load(archive(tmp_path, x_train=x, y_train=y, x_test=x, y_test=y), validation=0)
    assert loaded.info.dtype == read
    np.testing.assert_array_equal(arrays(loaded.test)[0], x.astype(read))


def test_npz_with_class_names_and_a_column_of_labels(tmp_path):
    _, y = numbered(120)
    names = np.array(["ant", "bee", "cat", "dög"])
    path = archive(tmp_path, class_names=names, y_train=y[:80, None], y_test=y[80:, None].astype(np.uint8))
    loaded = data.load(tmp_path / "set.npz", classes=4)  # a Path is as good as a str
    assert path.endswith("set.npz")
    assert loaded.info.class_names == ("ant", "bee", "cat", "dög")
    np.testing.assert_array_equal(arrays(loaded.test)[1], y[80:])


@pytest.mark.parametrize(
    ("layout", "shape", "read"),
    [
        (None, (28, 28, 1), (28, 28, 1)),  # Fashion-MNIST
        (None, (32, 32, 3), (32, 32, 3)),  # CIFAR-10
        (None, (80, 1), (80, 1)),  # sound
        (None, (9, 12), (9, 12)),
        (None, (4, 4), (4, 4)),
        ("images", (7, 7), (7, 7, 1)),
        ("images", (7, 9), (7, 9, 1)),
        ("images", (7, 7, 3), (7, 7, 3)),
        ("signals", (7, 7), (7, 7)),
        ("signals", (9,), (9, 1)),
        ("volumes", (5, 5, 5), (5, 5, 5, 1)),
    ],
)
def test_npz_whose_layout_is_clear(tmp_path, layout, shape, read):
    x = np.arange(8 * np.prod(shape), dtype=np.float32).reshape(8, *shape)
    extra = {} if layout is None else {"layout": layout}
    path = archive(tmp_path, x_train=x, y_train=np.arange(8) % 2, x_test=x[:4], y_test=np.arange(4) % 2, **extra)
    loaded = data.load(path, 8, validation=0)
    assert loaded.info.input_shape == read
    np.testing.assert_array_equal(arrays(loaded.test)[0], x[:4].reshape(4, *read))


@pytest.mark.parametrize(
    ("layout", "shape", "message"),
    [
        (None, (28, 28), "may be images without.*or signals with 28 channels.*layout='images'"),
        (None, (6, 6, 6), "may be volumes without.*or images with 6 channels"),
        ("pictures", (7, 7), "layout must be signals, images, volumes.*layout='pictures'"),
        ("images", (7,), "The layout images is that of arrays with 3 axes, or 4"),
        ("signals", (7, 7, 1), "The layout signals is that of arrays with 2 axes, or 3"),
    ],
)
def test_npz_whose_layout_is_not_clear(tmp_path, layout, shape, message):
    x = np.zeros((8, *shape), np.uint8)
    extra = {} if layout is None else {"layout": layout}
    path = archive(tmp_path, x_train=x, y_train=np.arange(8) % 2, x_test=x, y_test=np.arange(8) % 2, **extra)
    with pytest.raises(ValueError, match=message) as caught:
        data.load(path)
    assert f"set.npz', x_train of shape {x.shape}" in str(caught.value)


def test_npz_missing_file(tmp_path):
    with pytest.raises(ValueError, match=r"does not exist. Received: source='.*none\.npz'"):
        data.load(tmp_path / "none.npz")


@pytest.mark.parametrize("damage", ["empty", "text", "truncated", "flipped", "not_an_array"])
def test_npz_damaged(tmp_path, damage):
    path = Path(archive(tmp_path, compressed=True))
    content = bytearray(path.read_bytes())
    if damage == "empty":
        path.write_bytes(b"")
    elif damage == "text":
        path.write_bytes(b"x_train,y_train")
    elif damage == "truncated":
        path.write_bytes(content[: len(content) // 2])
    elif damage == "flipped":
        content[60:100] = bytes(byte ^ 0xFF for byte in content[60:100])
        path.write_bytes(content)
    else:
        with zipfile.ZipFile(path, "a") as file:
            file.writestr("notes.txt", "hello")
    with pytest.raises(ValueError, match=r"Not a readable .npz file.*Received: source='.*set\.npz'"):
        data.load(path)


X, Y = numbered(120)
INFINITE = X[:80].astype(np.float32)
INFINITE[3] = np.inf
NOT_A_NUMBER = X[:40].astype(np.float64)
NOT_A_NUMBER[7] = np.nan


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"x_test": None}, r"x_test missing. Received: source='.*set\.npz' with x_train, y_train, y_test"),
        ({"x_train": np.array([[1], [1, 2]], object)}, "x_train must not hold Python objects"),
        ({"x_train": np.full((80, 4, 1), "a")}, "x_train must hold numbers. Received: dtype=<U1"),
        ({"x_train": X[:80, :, 0]}, r"x_train must have shape .*Received: shape=\(80, 4\)"),
        ({"x_train": X[:80].reshape(80, 1, 1, 2, 2, 1)}, r"Received: shape=\(80, 1, 1, 2, 2, 1\)"),
        ({"x_train": X[:0], "y_train": Y[:0]}, r"x_train must not be empty. Received: shape=\(0, 4, 1\)"),
        ({"x_train": INFINITE}, "x_train must be finite. Received: NaN or infinite values in example 3"),
        ({"x_test": NOT_A_NUMBER}, "x_test must be finite. Received: NaN or infinite values in example 7"),
        ({"x_test": X[80:, :2]}, r"one shape and type. Received: \(4, 1\) int32 and \(2, 1\) int32"),
        ({"x_test": X[80:].astype("u1")}, r"one shape and type. Received: \(4, 1\) int32 and \(4, 1\) uint8"),
        ({"y_train": Y[:79]}, "y_train must have one label per example. Received: 79 labels, 80 examples"),
        ({"y_test": Y[80:].astype("f4")}, "y_test must be integers. Received: dtype=float32"),
        ({"y_train": np.ones((80, 4), int)}, r"y_train .*row 0 is not one-hot. Received: shape=\(80, 4\)"),
        ({"y_train": np.eye(4)[Y[:80]], "y_test": np.eye(5)[Y[80:]]}, "Received: 4 in y_train, 5 in y_test"),
        ({"y_train": np.eye(5)[Y[:80]]}, "no training example of class 4"),
        ({"y_train": Y[:80].astype(str)}, r"names in each part or in none. Received: y_test of shape \(40,\)"),
        (
            {"y_train": Y[:80].astype(str), "y_test": Y[80:].astype(str).astype("U3") + "x"},
            "Received: label '0x' at ex",
        ),
        ({"x_train": None, "y_train": None}, "x_train, y_train missing. Received"),
        ({"y_train": Y[:80] - 1}, "y_train must not be negative. Received: label -1 at example 0"),
        ({"y_train": Y[:80] + 2**40}, "y_train must fit in 32 bits"),
        ({"y_train": Y[:80] + 2**31 - 5}, "no training example of class 0"),
        ({"y_test": Y[80:] + 1}, "must lie in 0..3.*Received: test label 4 at example 3"),
        ({"y_train": Y[:80] % 2 * 2, "y_test": Y[80:] % 2}, "no training example of class 1"),
        ({"y_train": Y[:80] * 0, "y_test": Y[80:] * 0}, "at least two classes. Received: classes=1"),
        (
            {"class_names": np.arange(4)},
            r"class_names must be a vector of strings.*class_names of shape \(4,\)",
        ),
        ({"class_names": np.array(list("abc"))}, "must lie in 0..2.*Received: training label 3"),
        ({"class_names": np.array(list("abcde"))}, "no training example of class 4"),
    ],
)
def test_npz_with_wrong_arrays(tmp_path, changes, message):
    path = archive(tmp_path, **changes)
    with pytest.raises(ValueError, match=message) as caught:
        data.load(path)
    assert "set.npz" in str(caught.value)


@pytest.mark.parametrize(
    "classes, message",
    [(3, "must lie in 0..2.*Received: training label 3"), (6, "no training example of class 4")],
)
def test_other_number_of_classes_than_expected(tmp_path, classes, message):
    with pytest.raises(ValueError, match=message):
        data.load(archive(tmp_path), classes=classes)
    named = archive(tmp_path, class_names=np.array(list("abcd")))
    with pytest.raises(ValueError, match=f"has 4 classes. Received: classes={classes}"):
        data.load(named, classes=classes)


def test_npz_larger_than_the_limit(tmp_path, monkeypatch):
    path = archive(tmp_path)
    assert data.MEMORY_LIMIT == 8 * 2**30
    monkeypatch.setattr(memory, "MEMORY_LIMIT", 1000)
    with pytest.raises(ValueError, match=r"at most .* GiB.*Received: .*set\.npz, which needs"):
        data.load(path)


NAMES = np.array(["emu", "ant", "dog", "bee"])


@pytest.mark.parametrize("kind", ["one-hot", "text", "bytes", "named"])
def test_npz_whose_labels_are_no_integers(tmp_path, kind):
    made = {"one-hot": np.eye(4, dtype=np.float32), "text": NAMES, "bytes": NAMES.astype("S"), "named": NAMES}[kind]
    extra = {"class_names": NAMES} if kind == "named" else {}
    path = archive(
        tmp_path, y_train=made[Y[:80]], y_test=made[Y[80:], None] if made.ndim == 1 else made[Y[80:]], **extra
    )
    loaded = data.load(path, 40, validation=0)
    order = [0, 1, 2, 3] if kind in ("one-hot", "named") else [3, 0, 2, 1]  # of the sorted names
    np.testing.assert_array_equal(arrays(loaded.test)[1], np.array(order)[Y[80:]])
    names = {"one-hot": tuple("0123"), "named": tuple(NAMES)}
    assert loaded.info.class_names == names.get(kind, ("ant", "bee", "dog", "emu"))


def changed(y, value):
    y = np.array(y)
    y[77] = value
    return y


@pytest.mark.parametrize(
    ("task", "y", "message"),
    [
        ("classification", changed(Y, 7), "labels must lie in 0..3, one per name. Received: label 7 in y, example 77"),
        ("regression", changed(X[:, :, 0] * 0.5, np.nan), "y must be finite. .* in example 77"),
        ("multi_label", changed(X[:, :, 0] * 0, 5), "y must hold 0 and 1, .* in example 77"),
        ("segmentation", changed(X[:, :, 0] % 4, -1), "y must not be negative. Received: class -1 in mask 77"),
        ("segmentation", changed(X[:, :, 0] % 4, 4), "0..3, one per name. Received: class 4 in y, mask 77"),
        ("segmentation", Y, r"y must have a class for every pixel .*, shape \(120, 4\). Received: shape=\(120,\)"),
        ("restoration", Y, r"y must have the shape of the examples, \(120, 4, 1\)"),
    ],
)
def test_targets_of_an_npz_without_a_test_part_are_named_as_in_the_file(tmp_path, task, y, message):
    np.savez(tmp_path / "set.npz", x=X, y=y, class_names=list("abcd"))
    with pytest.raises(ValueError, match=rf"set.npz: .*{message}"):
        data.load(tmp_path / "set.npz", task=task)


def test_npz_without_a_test_part(tmp_path):
    path = str(tmp_path / "set.npz")
    np.savez(path, x=X, y=NAMES[Y])
    loaded, again = data.load(path, 8, seed=1), data.load(path, 8, seed=2)
    assert loaded.info.sizes == {"train": 86, "validation": 10, "test": 24}
    x, y = arrays(loaded.test)
    assert np.bincount(y).tolist() == [6, 6, 6, 6]
    np.testing.assert_array_equal(NAMES[x[:, 0, 0] % 4], np.sort(NAMES)[y])
    np.testing.assert_array_equal(arrays(again.test)[0], x)
    seen = np.concatenate([arrays(part)[0][:, 0, 0] for part in (loaded.train, loaded.validation, loaded.test)])
    assert sorted(seen) == list(range(120))
    np.savez(path, x=INFINITE, y=Y[:80])
    with pytest.raises(ValueError, match=r"set.npz: x must be finite. .* in example 3"):
        data.load(path)
    np.savez(path, x=np.zeros((8, 7, 7), np.uint8), y=Y[:8], layout="images")
    assert data.load(path, validation=0).info.input_shape == (7, 7, 1)
