"""`data.load`: what it returns, epochs, splits and arguments."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from helpers.data_sets import PAPER, archive, arrays, assert_equal_batches, batches, ids
from sklearn.datasets import load_digits
from sklearn.neighbors import KNeighborsClassifier

from keras_pdecnn import data
from keras_pdecnn.data.sources import moving_digits
from keras_pdecnn.data.splits import stratified_split


def test_no_iterator_has_a_thread_that_tunes_it():
    """At the end of an epoch, TensorFlow would wait for it."""
    loaded = data.load("digits", 100)
    for part in (loaded.train, loaded.validation, loaded.test, loaded.epochs(1)):
        assert part.options().autotune.enabled is False


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


def test_moving_digits_move_as_their_class_says():
    loaded = data.load("moving_digits", 100)
    assert loaded.info.input_shape == (16, 16, 16, 1)
    assert loaded.info.class_names == ("up", "down", "left", "right")
    assert loaded.info.sizes["test"] == 360
    x, y = arrays(loaded.test)
    assert x.dtype == np.uint8 and x.max() == 16
    assert np.bincount(y).tolist() == [90, 90, 90, 90]
    for label, (axis, sign) in enumerate([(1, -1), (1, 1), (2, -1), (2, 1)]):
        before, after = (x[y == label][:, part, ..., 0].reshape(-1, 16, 16) for part in (slice(-1), slice(1, None)))
        moved = [(np.roll(before, sign * pixels, axis) == after).all(axis=(1, 2)) for pixels in range(3)]
        assert np.any(moved, axis=0).all()
        assert moved[1].mean() > 0.5  # a pixel per frame, on average
    again = data.load("moving_digits", seed=1, in_memory=False)
    np.testing.assert_array_equal(arrays(again.test)[0], x)


def test_moving_digits_of_the_test_part_do_not_occur_in_training():
    loaded = data.load("moving_digits", 200, validation=0.1)
    digits = {
        part: {np.sort(frame.ravel()).tobytes() for frame in arrays(getattr(loaded, part))[0][:, 0]}
        for part in ("train", "validation", "test")
    }
    assert min(map(len, digits.values())) > 100
    assert not digits["test"] & (digits["train"] | digits["validation"])


def test_motion_cannot_be_seen_in_one_frame():
    """The frames of all ways have the same distribution: a frame of one way is a frame of each other way."""
    random, digit = np.random.RandomState(0), np.tile(np.arange(64).reshape(8, 8), (4000, 1, 1))
    for frame in (0, 9):
        frames = [
            {one.tobytes() for one in moving_digits.move(digit, np.full(4000, way), random)[:, frame]}
            for way in range(4)
        ]
        assert len(frames[0]) == 16**2
        assert all(found == frames[0] for found in frames)


def test_no_classifier_of_frames_finds_the_motion():
    loaded = data.load("moving_digits", 200)
    (x, y), (x_test, y_test) = arrays(loaded.train), arrays(loaded.test)
    for frame in (0, 8):
        neighbours = KNeighborsClassifier(5).fit(x[:, frame].reshape(len(x), -1), y)
        assert 0.17 < neighbours.score(x_test[:, frame].reshape(len(x_test), -1), y_test) < 0.33


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
    with pytest.raises(
        ValueError, match=r'`source` must be "digits" or "moving_digits", the path of an .npz'
    ) as caught:
        data.load(source)
    assert str(caught.value).endswith(f"Received: source={source!r}")


def test_unknown_source_with_a_similar_name():
    with pytest.raises(ValueError, match=r"Similar names: .*cifar10"):
        data.load("cifar_10")
