"""Augmentation: what is drawn, and that it is a function of its key."""

import numpy as np
import pytest
import tensorflow as tf
from helpers.data_sets import PAPER

from keras_pdecnn import data


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


KEY = (3, 4)


def augmented(x, **settings):
    return data.Augmentation(**settings)(tf.constant(x), tf.constant(KEY, tf.int64)).numpy()


@pytest.mark.parametrize("dtype", [np.int16, np.float32])
def test_time_shifts_join_the_end_to_the_start(dtype):
    x = np.arange(400).reshape(20, 10, 2).astype(dtype)
    result = augmented(x, time_shift=0.3)
    shifts = [
        [s for s in range(-5, 5) if np.array_equal(np.roll(before, s, axis=0), after)]
        for before, after in zip(x, result, strict=True)
    ]
    assert {len(s) for s in shifts} == {1}
    assert {s for (s,) in shifts} == {-3, -2, -1, 0, 1, 2, 3}


def test_gain_is_a_factor_of_each_example():
    x = np.random.RandomState(0).randn(200, 7, 2).astype("float32")
    factors = augmented(x, gain=0.5) / x
    np.testing.assert_allclose(factors, factors[:, :1, :1] * np.ones_like(factors), rtol=1e-5)
    logarithms = np.log(factors[:, 0, 0])
    assert -0.5 <= logarithms.min() < -0.45 and 0.45 < logarithms.max() <= 0.5
    loud = np.full((50, 7, 2), 30_000, np.int16)
    assert augmented(loud, gain=1.0).max() == 32_767


def test_noise_is_a_fraction_of_the_standard_deviation():
    x = 50 * np.random.RandomState(0).randn(100, 500, 1).astype("float32")
    levels = (augmented(x, noise=0.2) - x).std(axis=(1, 2)) / x.std(axis=(1, 2))
    assert levels.min() < 0.02 and 0.18 < levels.max() < 0.22
    np.testing.assert_array_equal(augmented(np.ones((3, 9, 1), np.float32), noise=0.2), 1)


@pytest.mark.parametrize("shape", [(20, 2), (10, 12, 3), (4, 6, 5, 1)])
def test_cutout_covers_one_window_with_the_mean(shape):
    x = np.random.RandomState(0).randint(0, 200, (30, *shape), np.uint8)
    result = augmented(x, cutout=0.5)
    places = set()
    for before, after in zip(x, result, strict=True):
        window = np.argwhere((before != after).any(-1))
        low, high = window.min(0), window.max(0) + 1
        sides = [(size + 1) // 2 for size in shape[:-1]]
        assert (high - low <= sides).all() and (high - low >= np.array(sides) - 2).all()  # a pixel may have the mean
        inside = after[tuple(slice(a, b) for a, b in zip(low, high, strict=True))]
        mean = before.mean(axis=tuple(range(len(sides))))
        assert (np.abs(inside - mean) <= 0.51).all()
        places.add(tuple(low))
    assert len(places) > 3


def test_masks_cover_bands_of_time_and_of_frequency():
    x = np.random.RandomState(0).randn(60, 20, 10, 1).astype("float32")
    for name, axis, size in (("time_mask", 1, 20), ("frequency_mask", 2, 10)):
        covered = (augmented(x, **{name: 0.3}) != x)[..., 0]
        bands = covered.any(axis=3 - axis)
        assert (covered == np.expand_dims(bands, 3 - axis)).all()  # all the way across
        widths = bands.sum(1)
        assert set(widths) == set(range(round(0.3 * size) + 1))
        assert all(np.diff(np.flatnonzero(band)).max(initial=1) == 1 for band in bands)


def mixed(x, y, **settings):
    key = tf.constant(KEY, tf.int64)
    return [part.numpy() for part in data.Augmentation(**settings).mix(tf.constant(x), tf.constant(y), key)]


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_mixup_mixes_neighbours_and_their_labels_in_the_same_shares(dtype):
    x, y = (100 * np.eye(40, dtype=dtype)[:, :, np.newaxis], np.eye(40, dtype=np.float32))
    mixture, labels = mixed(x, y, mixup=0.5)
    assert mixture.dtype == dtype
    np.testing.assert_allclose(mixture[..., 0] / 100, labels, atol=0.006)
    np.testing.assert_allclose(labels.sum(1), 1, atol=1e-6)
    np.testing.assert_allclose(labels, labels * (np.eye(40) + np.roll(np.eye(40), 1, 0)), atol=1e-6)
    shares = labels[np.arange(40), np.arange(40)]
    assert shares.min() < 0.1 and shares.max() > 0.9


@pytest.mark.parametrize("space", [(50,), (8, 10), (4, 5, 6)])
def test_cutmix_pastes_a_window_of_the_neighbour(space):
    x = np.ones((20, *space, 1), np.int16) * np.arange(20).reshape(20, *[1] * len(space), 1).astype(np.int16)
    mixture, labels = mixed(x, np.eye(20, dtype=np.float32), cutmix=1.0)
    for index, (example, label) in enumerate(zip(mixture, labels, strict=True)):
        assert set(np.unique(example)) <= {index, (index - 1) % 20}
        assert label[index] == pytest.approx((example == index).mean(), abs=1e-6)
        assert label[index - 1] == pytest.approx(1 - label[index], abs=1e-6)
    assert 0.2 < labels[np.arange(20), np.arange(20)].mean() < 0.8


def test_mixup_and_cutmix_take_turns():
    x, y = np.arange(1, 401, dtype=np.float32).reshape(40, 10, 1), np.eye(40, dtype=np.float32)
    mixture, labels = mixed(x, y, mixup=1.0, cutmix=1.0)
    pasted = [set(m.ravel()) <= set(x.ravel()) for m in mixture]
    assert 8 < sum(pasted) < 32
    np.testing.assert_allclose(labels.sum(1), 1, atol=1e-6)


def test_mixed_labels_in_the_batches():
    load = lambda: data.load("digits", 50, augmentation=data.Augmentation(mixup=0.4))  # noqa: E731
    (x, y), (again, same) = (next(iter(load().train)) for _ in range(2))
    assert y.shape == (50, 10) and x.dtype == tf.uint8
    np.testing.assert_array_equal(x, again)
    np.testing.assert_array_equal(y, same)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("channels", [1, 3])
def test_rand_augment_stays_in_the_range_of_each_image(dtype, channels):
    x = np.random.RandomState(0).randint(3, 17, (40, 9, 12, channels)).astype(dtype)
    result = augmented(x, rand_augment=2)
    assert result.dtype == dtype and result.shape == x.shape
    assert (result.min((1, 2, 3)) >= x.min((1, 2, 3)) - 1e-4).all()
    assert (result.max((1, 2, 3)) <= x.max((1, 2, 3)) + 1e-4).all()
    assert np.mean([np.array_equal(a, b) for a, b in zip(x, result, strict=True)]) < 0.3
    np.testing.assert_allclose(augmented(x, rand_augment=3, rand_augment_magnitude=0.0), x, atol=0.2)


@pytest.mark.parametrize(
    ("settings", "shape", "message"),
    [
        ({"time_shift": 0.1}, (8, 8, 1), r"is for signals, .* Received: \(8, 8, 1\), time_shift=0.1"),
        ({"rand_augment": 2}, (80, 1), r"is for images, .* Received: \(80, 1\), rand_augment=2"),
        ({"frequency_mask": 0.1}, (80, 1), r"is for spectrograms, .* Received: \(80, 1\), frequency_mask=0.1"),
        ({"cutout": 0.2}, (None, 1), r"needs examples of known size. Received: \(None, 1\), cutout=0.2"),
        ({"cutmix": 1.0}, (None, 8, 1), r"Received: \(None, 8, 1\), cutmix=1.0"),
    ],
)
def test_examples_that_cannot_be_augmented_so(settings, shape, message):
    with pytest.raises(ValueError, match=message):
        data.Augmentation(**settings).check_shape(shape)


@pytest.mark.parametrize(
    "arguments",
    [
        *({"flip": 2}, {"pad": -0.1}, {"pad": 1}, {"pad": "a"}, {"pad": float("nan")}),
        *({"cutout": 1}, {"time_mask": -0.1}, {"frequency_mask": None}, {"mixup": -1}, {"cutmix": "a"}),
        *({"rand_augment": 1.5}, {"rand_augment_magnitude": 1}),
        *({"time_shift": 1}, {"gain": -1}, {"noise": float("inf")}, {"noise": "a"}),
        *({"rotate": -1}, {"rotate": 181}, {"rotate": True}, {"zoom": 1}, {"zoom": None}),
    ],
)
def test_wrong_augmentation(arguments):
    ((name, value),) = arguments.items()
    with pytest.raises(ValueError, match=f"Received: {name}={value!r}$"):
        data.Augmentation(**arguments)
