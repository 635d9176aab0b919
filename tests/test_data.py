import dataclasses
import os
import zipfile
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from PIL import Image
from sklearn.datasets import load_digits

from keras_pdecnn import data
from keras_pdecnn.data import memory
from keras_pdecnn.data.splits import stratified_split

PAPER = data.Augmentation(flip=True, pad=1 / 16)


def arrays(dataset):
    """All batches of a finite dataset, joined."""
    batches = [(x.numpy(), y.numpy()) for x, y in dataset]
    return np.concatenate([x for x, _ in batches]), np.concatenate([y for _, y in batches])


def batches(dataset, count):
    return [(x.numpy(), y.numpy()) for x, y in dataset.take(count)]


def assert_equal_batches(first, second):
    assert len(first) == len(second)
    for (x1, y1), (x2, y2) in zip(first, second, strict=True):
        np.testing.assert_array_equal(x1, x2)
        np.testing.assert_array_equal(y1, y2)


def numbered(examples, space=(4,), channels=1, classes=4, dtype=np.int32):
    """Examples that carry their own number, so that batches show which examples they hold."""
    x = np.broadcast_to(np.arange(examples).reshape(-1, *[1] * (len(space) + 1)), (examples, *space, channels))
    return x.astype(dtype), np.arange(examples) % classes


def ids(x):
    return x.reshape(len(x), -1)[:, 0]


def archive(folder, name="set.npz", compressed=False, **changes):
    x, y = numbered(120)
    parts = {"x_train": x[:80], "y_train": y[:80], "x_test": x[80:], "y_test": y[80:]} | changes
    path = str(folder / name)
    (np.savez_compressed if compressed else np.savez)(path, **{k: v for k, v in parts.items() if v is not None})
    return path


def picture(path, size=(6, 5), mode="RGB", value=0):
    """Writes an image of `size` (width, height) filled with one value."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, (value,) * 3 if mode == "RGB" else value).save(path)
    return str(path)


@pytest.fixture
def pictures(tmp_path):
    """A folder of two classes, 10 and 20 images of 5 x 6 pixels; each image is filled with its own number."""
    for name, count, offset in (("cat", 10, 0), ("dog", 20, 100)):
        for index in range(count):
            picture(tmp_path / name / f"{index:02}.png", value=offset + index)
    return tmp_path


# --- the digits, and what `load` returns


def test_digits():
    loaded = data.load("digits", 100)
    assert isinstance(loaded, data.Data)
    assert loaded.info == data.Info(
        name="digits",
        input_shape=(8, 8, 1),
        classes=10,
        class_names=tuple("0123456789"),
        sizes={"train": 1293, "validation": 144, "test": 360},
        dtype="uint8",
    )
    assert loaded.steps_per_epoch == 13 == loaded.train.cardinality()
    for part, size in loaded.info.sizes.items():
        x, y = arrays(getattr(loaded, part))
        assert x.shape == (size, 8, 8, 1) and x.dtype == np.uint8 and x.max() == 16
        assert y.shape == (size,) and y.dtype == np.int32
        shares = np.bincount(load_digits().target) * size / 1797
        assert np.abs(np.bincount(y) - shares).max() < 2  # stratified
    with pytest.raises(dataclasses.FrozenInstanceError):
        loaded.info.classes = 3


def test_digits_are_the_real_ones_and_parts_do_not_overlap():
    loaded = data.load("digits", 64)
    # A few digits of the set are equal to the pixel, so the parts are compared as multisets.
    found = sorted(
        (*x.ravel().tolist(), int(label))
        for part in (loaded.train, loaded.validation, loaded.test)
        for x, label in zip(*arrays(part), strict=True)
    )
    digits = load_digits()
    assert found == sorted((*map(int, x), int(label)) for x, label in zip(digits.data, digits.target, strict=True))


def test_test_and_validation_do_not_depend_on_the_seed_and_keep_their_order():
    one, two = data.load("digits", seed=1), data.load("digits", 50, seed=2)
    for part in ("validation", "test"):
        for first, again, other in zip(
            arrays(getattr(one, part)), arrays(getattr(one, part)), arrays(getattr(two, part)), strict=True
        ):
            np.testing.assert_array_equal(first, again)
            np.testing.assert_array_equal(first, other)


def test_without_validation():
    loaded = data.load("digits", validation=0)
    assert loaded.validation is None
    assert loaded.info.sizes == {"train": 1437, "validation": 0, "test": 360}


def test_drop_remainder_affects_training_only(tmp_path):
    loaded = data.load(archive(tmp_path), 32, validation=0.2, drop_remainder=True)
    assert loaded.steps_per_epoch == 2
    assert [len(y) for _, y in loaded.train] == [32, 32]
    assert loaded.train.element_spec[0].shape == (32, 4, 1)
    assert len(arrays(loaded.validation)[1]) == 16
    assert len(arrays(loaded.test)[1]) == 40


# --- epochs


def test_every_example_once_per_epoch_in_a_new_order(tmp_path):
    loaded = data.load(archive(tmp_path), 12, validation=0.1)
    epochs = [ids(arrays(loaded.train)[0]) for _ in range(3)]
    held_out = ids(arrays(loaded.validation)[0])
    assert len(held_out) == 8
    for epoch in epochs:
        assert sorted([*epoch, *held_out]) == list(range(80))
    for first, second in ((0, 1), (1, 2), (0, 2)):
        assert np.mean(epochs[first] == epochs[second]) < 0.2
    x, y = arrays(loaded.train)
    np.testing.assert_array_equal(ids(x) % 4, y)  # labels go with their examples


def test_training_follows_the_seed_alone():
    def epoch(seed, tf_seed):
        tf.random.set_seed(tf_seed)
        loaded = data.load("digits", 200, seed=seed, augmentation=PAPER)
        return batches(loaded.train, 99)

    first = epoch(seed=5, tf_seed=1)
    assert_equal_batches(first, epoch(seed=5, tf_seed=2))
    assert any((x != z).any() for (x, _), (z, _) in zip(first, epoch(seed=6, tf_seed=1), strict=True))


def test_epochs_resume_bit_for_bit():
    loaded = data.load("digits", 100, augmentation=PAPER, seed=3)
    steps = loaded.steps_per_epoch
    assert loaded.epochs().cardinality() == tf.data.INFINITE_CARDINALITY
    straight = batches(loaded.epochs(), 5 * steps)
    assert_equal_batches(straight[3 * steps :], batches(loaded.epochs(3), 2 * steps))
    again = data.load("digits", 100, augmentation=PAPER, seed=3)
    assert_equal_batches(straight[3 * steps :], batches(again.epochs(3), 2 * steps))
    for epoch in range(2):  # the k-th pass over `train` is epoch k
        assert_equal_batches(straight[epoch * steps : (epoch + 1) * steps], batches(loaded.train, 99))
    assert [len(y) for _, y in straight[:steps]] == [100] * 12 + [93]


@pytest.mark.parametrize("first", [-1, 1.5, None])
def test_epochs_from_a_wrong_number(first):
    with pytest.raises(ValueError, match=f"Received: first={first}"):
        data.load("digits").epochs(first)


def test_augmentation_differs_by_example_and_epoch(tmp_path):
    same = np.broadcast_to(np.arange(1, 257).reshape(1, 16, 16, 1), (60, 16, 16, 1)).astype(np.int16)
    path = archive(tmp_path, x_train=same, y_train=np.arange(60) % 2, x_test=same, y_test=np.arange(60) % 2)
    loaded = data.load(path, 20, augmentation=data.Augmentation(flip=True, pad=1 / 4), validation=0)
    epochs = [arrays(loaded.train)[0] for _ in range(2)]
    for x in epochs:
        assert len({example.tobytes() for example in x}) > 30  # of 2 * 9 * 9 possible draws
        assert len({batch.tobytes() for batch in np.split(x, 3)}) == 3
    assert (epochs[0] != epochs[1]).any(axis=(1, 2, 3)).mean() > 0.9
    np.testing.assert_array_equal(arrays(loaded.test)[0], same)  # never augmented


def test_fit_takes_the_datasets():
    import keras

    keras.utils.set_random_seed(0)
    loaded = data.load("digits", 100, augmentation=data.Augmentation(pad=1 / 16))
    model = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(10)])
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    history = model.fit(loaded.train, validation_data=loaded.validation, epochs=2, verbose=0, shuffle=False)
    assert history.history["loss"][1] < history.history["loss"][0]
    model.fit(loaded.epochs(2), steps_per_epoch=2, initial_epoch=2, epochs=4, verbose=0, shuffle=False)


# --- augmentation


def windows(x, margin, flip):
    """Every result that cropping (and mirroring) one example may have."""
    padded = np.pad(x, [(m, m) for m in margin] + [(0, 0)])
    for start in np.ndindex(*[2 * m + 1 for m in margin]):
        crop = padded[tuple(slice(s, s + n) for s, n in zip(start, x.shape[:-1], strict=True))]
        yield crop
        if flip:
            yield np.flip(crop, axis=-2)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.float16, np.float32])
@pytest.mark.parametrize("space", [(11,), (8, 5), (4, 3, 5)])
@pytest.mark.parametrize("flip, pad", [(True, 1 / 4), (False, 1 / 4), (True, 0.0)])
def test_crops_are_windows_of_the_padded_example(space, dtype, flip, pad):
    x = np.random.RandomState(0).randint(1, 200, (24, *space, 2)).astype(dtype)
    augmentation = data.Augmentation(flip=flip, pad=pad)
    result = augmentation(tf.constant(x), tf.constant([1, 2], tf.int64)).numpy()
    assert result.dtype == dtype and result.shape == x.shape
    choices = []
    for before, after in zip(x, result, strict=True):
        margin = augmentation.margin(space)
        matches = [k for k, window in enumerate(windows(before, margin, flip)) if np.array_equal(window, after)]
        assert len(matches) == 1
        choices += matches
    assert len(set(choices)) > 1  # each example has its own draw
    if not flip and not pad:
        np.testing.assert_array_equal(x, result)


def test_flip_mirrors_the_last_space_axis_of_half_the_examples():
    x = np.random.RandomState(0).randint(0, 255, (1000, 2, 3, 1), np.uint8)
    result = data.Augmentation(flip=True)(tf.constant(x), tf.constant([0, 0], tf.int64)).numpy()
    mirrored = (result == x[:, :, ::-1]).all(axis=(1, 2, 3))
    np.testing.assert_array_equal(result[~mirrored], x[~mirrored])
    assert 0.42 < mirrored.mean() < 0.58


def test_shifts_are_uniform():
    x = np.zeros((4000, 9, 1), np.uint8)
    x[:, 4] = 1  # stays inside for shifts of up to 4
    result = data.Augmentation(pad=2 / 9)(tf.constant(x), tf.constant([0, 1], tf.int64)).numpy()
    counts = np.bincount(result[..., 0].argmax(axis=1), minlength=9)
    assert counts[[0, 1, 7, 8]].sum() == 0
    assert np.abs(counts[2:7] / 800 - 1).max() < 0.15


def test_augmentation_is_a_pure_function_of_its_key():
    x = tf.random.stateless_uniform((32, 8, 8, 3), (0, 1))
    first, again, other = (PAPER(x, tf.constant([7, key], tf.int64)).numpy() for key in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    np.testing.assert_array_equal(tf.function(PAPER)(x, tf.constant([7, 1], tf.int64)), first)


def test_margin():
    assert data.Augmentation().margin((32, 32)) == (0, 0)
    assert data.Augmentation(pad=1 / 16).margin((32, 40, 96, 8, 3)) == (2, 3, 6, 1, 1)


def test_turning_and_zooming_move_a_point_as_they_should():
    x = np.zeros((200, 41, 41, 1), np.float32)
    x[:, 20, 34] = 1  # 14 pixels to the right of the centre
    result = data.Augmentation(rotate=30, zoom=0.25)(tf.constant(x), tf.constant([3, 1], tf.int64)).numpy()[..., 0]
    row, column = np.mgrid[:41, :41] - 20
    mass = result.sum((1, 2))
    row, column = (result * row).sum((1, 2)) / mass, (result * column).sum((1, 2)) / mass
    angle, factor = np.degrees(np.arctan2(row, column)), np.hypot(row, column) / 14
    # A single pixel, interpolated, is found again to a fraction of a pixel.
    assert 25 < angle.max() < 33 and -33 < angle.min() < -25
    assert 1.18 < factor.max() < np.exp(0.25) + 0.05 and np.exp(-0.25) - 0.05 < factor.min() < 0.84


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_turning_keeps_type_range_and_what_is_not_asked_for(dtype):
    x = np.random.RandomState(0).randint(0, 255, (16, 8, 6, 3)).astype(dtype)
    key = tf.constant([1, 2], tf.int64)
    turned = data.Augmentation(rotate=90, zoom=0.5)(tf.constant(x), key).numpy()
    assert turned.dtype == dtype and turned.shape == x.shape
    assert turned.min() >= 0 and turned.max() <= 255
    barely = data.Augmentation(rotate=1e-6)(tf.constant(x), key).numpy()
    np.testing.assert_allclose(barely, x, atol=0.01)


def test_only_images_are_turned(tmp_path):
    signals = {name: np.zeros((20, 9, 1), np.float32) for name in ("x_train", "x_test")}
    labels = {name: np.arange(20) % 2 for name in ("y_train", "y_test")}
    np.savez(tmp_path / "signals.npz", **signals, **labels)
    with pytest.raises(ValueError, match=r"are for images, .* Received: \(9, 1\), rotate=10"):
        data.load(tmp_path / "signals.npz", augmentation=data.Augmentation(rotate=10))


@pytest.mark.parametrize(
    "arguments",
    [
        *({"flip": 2}, {"pad": -0.1}, {"pad": 1}, {"pad": "a"}, {"pad": float("nan")}),
        *({"rotate": -1}, {"rotate": 181}, {"rotate": True}, {"zoom": 1}, {"zoom": None}),
    ],
)
def test_wrong_augmentation(arguments):
    ((name, value),) = arguments.items()
    with pytest.raises(ValueError, match=f"Received: {name}={value!r}$"):
        data.Augmentation(**arguments)


# --- splits


def test_stratified_split():
    labels = np.repeat([0, 1, 2, 7], [50, 30, 15, 5])
    rest, aside = stratified_split(labels, 20, "x")
    assert sorted([*rest, *aside]) == list(range(100))
    assert np.bincount(labels[aside]).tolist() == [10, 6, 3, 0, 0, 0, 0, 1]
    np.testing.assert_array_equal(stratified_split(labels, 20, "x")[1], aside)
    _, aside = stratified_split(np.array([0, 1, 2, 2, 2]), 2, "x")  # a class never loses its only example
    assert len(aside) == 2 and aside.min() >= 2


@pytest.mark.parametrize("validation", [0.001, 0.99])
def test_too_few_examples_to_split(tmp_path, validation):
    with pytest.raises(ValueError, match=r"set\.npz, validation=.*too few.*Received: 80 examples of 4 classes"):
        data.load(archive(tmp_path), validation=validation)


# --- .npz


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
        ({"y_train": np.eye(4, dtype=int)[Y[:80]]}, r"y_train .*not one-hot. Received: shape=\(80, 4\)"),
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


# --- arguments


@pytest.mark.parametrize(
    "arguments",
    [
        {"batch_size": 0},
        {"batch_size": -1},
        {"batch_size": 2.5},
        {"batch_size": True},
        {"validation": 1},
        {"validation": -0.1},
        {"validation": float("nan")},
        {"validation": "a"},
        {"augmentation": True},
        {"seed": 1.5},
        {"seed": 2**70},
        {"size": 0},
        {"size": (1, 2, 3)},
        {"size": 32},  # the digits have a size
        {"classes": 0},
        {"classes": 11},
        {"drop_remainder": 2},
    ],
)
def test_wrong_arguments(arguments):
    with pytest.raises(ValueError, match=r"Received: \S") as caught:
        data.load("digits", **arguments)
    ((name, value),) = arguments.items()
    shown = {"size=32": "size=(32,)", "classes=11": "class 10"}.get(f"{name}={value}", f"{name}={value!r}")
    assert str(caught.value).endswith(shown)


def test_drop_remainder_must_leave_a_batch():
    with pytest.raises(ValueError, match=r"1293 training examples. Received: drop_remainder=True, batch_size=2000"):
        data.load("digits", 2000, drop_remainder=True)


@pytest.mark.parametrize("source", ["", None, 3, "./nowhere", "/nowhere/at/all", "no such name", "nosuchdataset"])
def test_unknown_source(source):
    with pytest.raises(ValueError, match=r'`source` must be "digits", the path of an .npz') as caught:
        data.load(source)
    assert str(caught.value).endswith(f"Received: source={source!r}")


def test_unknown_source_with_a_similar_name():
    with pytest.raises(ValueError, match=r"Similar names: .*cifar10"):
        data.load("cifar_10")


# --- folders


def test_folder(pictures):
    (pictures / "cat" / "notes.txt").write_text("not an image")
    (pictures / ".hidden").mkdir()
    loaded = data.load(pictures, 8, validation=0.25)
    assert loaded.info == data.Info(
        name=pictures.name,
        input_shape=(5, 6, 3),
        classes=2,
        class_names=("cat", "dog"),
        sizes={"train": 18, "validation": 6, "test": 6},
        dtype="uint8",
    )
    parts = {part: arrays(getattr(loaded, part)) for part in loaded.info.sizes}
    assert np.bincount(parts["test"][1]).tolist() == [2, 4]
    assert np.bincount(parts["validation"][1]).tolist() == [2, 4]
    values = {part: sorted(ids(x).tolist()) for part, (x, _) in parts.items()}
    assert sorted(value for part in values.values() for value in part) == [
        *range(10),
        *range(100, 120),
    ]  # disjoint, and complete
    for x, y in parts.values():
        np.testing.assert_array_equal(ids(x) >= 100, y == 1)
    other = data.load(pictures, 8, validation=0.5, seed=9)
    np.testing.assert_array_equal(arrays(other.test)[0], parts["test"][0])


def test_folder_of_gray_images(tmp_path):
    for name in "ab":
        for suffix in ("png", "bmp", "jpg"):
            picture(tmp_path / name / f"gray.{suffix}", mode="L", value=50)
    assert data.load(tmp_path, validation=0).info.input_shape == (5, 6, 1)
    picture(tmp_path / "a" / "colour.webp", value=50)  # one image of three channels makes them all so
    x, _ = arrays(data.load(tmp_path, validation=0).train)
    assert x.shape[1:] == (5, 6, 3)
    assert np.abs(x.astype(int) - 50).max() <= 2


def test_folder_of_differing_sizes(pictures):
    picture(pictures / "dog" / "big.png", size=(12, 10), value=7)
    with pytest.raises(ValueError, match=r"give `size`.*Received: .*\.png.*\.png.*size=None"):
        data.load(pictures)
    assert data.load(pictures, size=4).info.input_shape == (4, 4, 3)
    loaded = data.load(pictures, 4, size=(7, 3))
    assert loaded.info.input_shape == (7, 3, 3)
    x = np.concatenate([arrays(part)[0] for part in (loaded.train, loaded.validation, loaded.test)])
    assert sorted(ids(x).tolist()) == [*range(7), 7, 7, 8, 9, *range(100, 120)]


def test_folder_without_classes(tmp_path):
    picture(tmp_path / "a.png")
    with pytest.raises(ValueError, match=r"one sub-folder per class. Received: source="):
        data.load(tmp_path)


def test_folder_with_an_empty_class(pictures):
    (pictures / "emu").mkdir()
    with pytest.raises(ValueError, match=r"at least two images.*Received: 0 in '.*emu'"):
        data.load(pictures)


def test_folder_of_one_class(tmp_path):
    for index in range(5):
        picture(tmp_path / "a" / f"{index}.png")
    with pytest.raises(ValueError, match=r"at least two classes. Received: classes=1"):
        data.load(tmp_path)


def test_folder_larger_than_the_limit(pictures, monkeypatch):
    monkeypatch.setattr(memory, "MEMORY_LIMIT", 30 * 5 * 6 * 3 - 1)
    with pytest.raises(ValueError, match="which needs"):
        data.load(pictures)


@pytest.mark.parametrize("damage", ["text", "truncated"])
def test_unreadable_image(pictures, damage):
    noise = np.random.RandomState(0).randint(0, 255, (5, 6, 3), np.uint8)
    bad = pictures / "cat" / "bad.png"
    Image.fromarray(noise).save(bad)
    bad.write_bytes(b"hello" if damage == "text" else bad.read_bytes()[:70])
    with pytest.raises(ValueError, match=r"Not a readable image .*Received: '.*bad\.png'"):
        data.load(pictures)
    with pytest.raises(ValueError, match=r"Not a readable image .*Received: '.*bad\.png'"):
        data.read_image(bad, (5, 6, 3))


# --- single images


def test_read_image(tmp_path):
    pixels = np.random.RandomState(0).randint(0, 255, (5, 6, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    read = data.read_image(tmp_path / "a.png", (5, 6, 3))
    assert read.dtype == np.uint8
    np.testing.assert_array_equal(read, pixels)
    gray = data.read_image(str(tmp_path / "a.png"), (5, 6, 1))
    assert np.abs(gray[..., 0] - pixels @ [0.299, 0.587, 0.114]).max() <= 1
    assert data.read_image(tmp_path / "a.png", (10, 3, 3)).shape == (10, 3, 3)


def test_read_image_of_16_bits(tmp_path):
    wide = np.array([[0, 256], [32768, 65535]], np.uint16)
    Image.fromarray(wide).save(tmp_path / "wide.png")
    np.testing.assert_array_equal(data.read_image(tmp_path / "wide.png", (2, 2, 1))[..., 0], wide // 256)


def test_read_image_agrees_with_the_folder(pictures):
    loaded = data.load(pictures, 100, size=4, validation=0)
    x, y = arrays(loaded.test)
    for example, label in zip(x, y, strict=True):
        number = int(example[0, 0, 0])
        path = pictures / loaded.info.class_names[label] / f"{number % 100:02}.png"
        np.testing.assert_array_equal(data.read_image(path, loaded.info.input_shape), example)


def test_read_image_that_is_a_bomb(tmp_path, monkeypatch):
    path = picture(tmp_path / "large.png", size=(20, 20))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 300)  # Pillow would only warn
    with (
        pytest.warns(Image.DecompressionBombWarning),
        pytest.raises(ValueError, match=r"20 x 20 pixels, more than 300.*Received: '.*large\.png'"),
    ):
        data.read_image(path, (8, 8, 1))


@pytest.mark.parametrize("shape", [(8, 8), (8, 8, 2), (8,)])
def test_read_image_into_a_wrong_shape(tmp_path, shape):
    path = picture(tmp_path / "a.png")
    with pytest.raises(ValueError, match=r"`shape` must be .*Received: shape="):
        data.read_image(path, shape)


def test_read_image_missing(tmp_path):
    with pytest.raises(ValueError, match=r"does not exist. Received: '.*none\.png'"):
        data.read_image(tmp_path / "none.png", (8, 8, 1))


# --- TensorFlow Datasets, prepared in a temporary folder

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
        if builder is not PdeUnreachable:
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


def test_tfds_that_cannot_be_downloaded(tmp_path):
    with pytest.raises(
        ValueError, match=r"not prepared in data_dir and could not be downloaded.*no route to host"
    ) as e:
        data.load("pde_unreachable", data_dir=str(tmp_path))
    assert "Received: source='pde_unreachable', data_dir=" in str(e.value) and os.fspath(tmp_path) in str(e.value)
