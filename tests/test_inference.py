"""Reading examples from files, and predicting file by file."""

import os
import wave

import numpy as np
import pytest
from PIL import Image

from keras_pdecnn import data, inference, models
from keras_pdecnn.data.audio import read_sound
from keras_pdecnn.inference import Classifier, Prediction, Unreadable, examples, limits


def write_wav(path, samples, width=2, rate=8000):
    """Write samples, shape (length, channels), integers of `width` bytes (one byte without sign)."""
    samples = np.asarray(samples)
    with wave.open(str(path), "wb") as file:
        file.setparams((samples.shape[1], width, rate, 0, "NONE", ""))
        raw = samples.astype("<i4").view(np.uint8).reshape(*samples.shape, 4)[..., :width]
        file.writeframes(raw.tobytes())
    return path


def classifier(shape, seen):
    """A classifier that notes what it is given and takes the first value of an example as its class."""

    def probabilities(x):
        seen.append(x.shape)
        return np.eye(3)[x.reshape(len(x), -1)[:, 0].astype(int)]

    return Classifier(shape, ("a", "b", "c"), probabilities)


# Sound.


@pytest.mark.parametrize(("width", "unit", "zero"), [(1, 256, 128), (2, 1, 0), (3, 2**-8, 0), (4, 2**-16, 0)])
def test_samples_of_every_width(tmp_path, width, unit, zero):
    low, high = (0, 255) if width == 1 else (-(2 ** (8 * width - 1)), 2 ** (8 * width - 1) - 1)
    samples = np.array([[low], [high], [zero], [zero + 1], [zero + 100]])
    path = write_wav(tmp_path / "x.wav", samples, width)
    x = read_sound(path, (None, 1))
    assert x.dtype == np.float32
    np.testing.assert_allclose(x, (samples - zero) * unit, rtol=1e-6)
    assert np.abs(x).max() <= 2**15


def test_channels_and_length(tmp_path):
    path = write_wav(tmp_path / "x.wav", [[1, 3], [5, 7], [-2, 0]])
    np.testing.assert_array_equal(read_sound(path, (None, 1)), [[2], [6], [-1]])
    np.testing.assert_array_equal(read_sound(path, (2, 1)), [[2], [6]])
    np.testing.assert_array_equal(read_sound(path, (5, 2)), [[1, 3], [5, 7], [-2, 0], [0, 0], [0, 0]])
    with pytest.raises(ValueError, match=r"3 channels. Received: '.*x\.wav' with 2"):
        read_sound(path, (None, 3))


@pytest.mark.parametrize(("rate", "wanted"), [(16000, 8000), (8000, 16000), (44100, 8000)])
def test_another_sampling_rate_is_resampled(tmp_path, rate, wanted):
    tone = lambda rate: 1e4 * np.sin(2 * np.pi * 440 * np.arange(rate // 4) / rate)[:, None]  # noqa: E731
    path = write_wav(tmp_path / "x.wav", tone(rate).round(), rate=rate)
    x = read_sound(path, (None, 1), wanted)
    assert len(x) == -(-(rate // 4) * wanted // rate)
    inner = slice(wanted // 50, -wanted // 50)
    assert np.abs(x[inner] - tone(wanted)[inner]).max() < 150
    np.testing.assert_array_equal(read_sound(path, (None, 1), rate), read_sound(path, (None, 1)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda content: content[:-1], "declares 20 bytes"),
        (lambda content: content[:44], "declares 20 bytes|Error|no samples"),
        (lambda content: content[:40] + b"\xff\xff\xff\x7f" + content[44:], "bytes of samples"),
        (lambda content: content[:24] + b"\xff\xff\xff\xff" + content[28:], "samples per second"),
        (lambda content: content[:20] + b"\x03\x00" + content[22:], "unknown format"),
        (lambda content: b"", "EOFError"),
        (lambda content: b"RIFF" + content[8:], ""),
    ],
)
def test_damaged_sound(tmp_path, change, message):
    path = write_wav(tmp_path / "x.wav", np.arange(10)[:, None])
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(ValueError, match=rf"Not a readable .wav file \(.*({message}).*Received: '.*x\.wav'"):
        read_sound(path, (None, 1))


def test_resampling_does_not_fill_the_memory(tmp_path):
    path = write_wav(tmp_path / "x.wav", np.zeros((1000, 1)), rate=1)
    assert len(read_sound(path, (None, 1), 8000)) == 8_000_000
    with pytest.raises(ValueError, match=r"1,000 samples at 1 per second .* at 384,000.*Received: '.*x\.wav'"):
        read_sound(path, (None, 1), 384_000)


# Arrays and images.


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_arrays(tmp_path, save):
    save(tmp_path / "x.npz", other=np.zeros(3), x_test=np.arange(48.0).reshape(2, 4, 3, 2))
    x = inference.read_examples(tmp_path / "x.npz", (4, 3, 2))
    assert x.dtype == np.float32
    np.testing.assert_array_equal(x.ravel(), np.arange(48))
    assert inference.read_examples(tmp_path / "x.npz", (None, None, 2)).shape == (2, 4, 3, 2)
    save(tmp_path / "x.npz", x=np.zeros((4, 3, 2), bool))
    assert inference.read_examples(tmp_path / "x.npz", (4, 3, 2)).shape == (1, 4, 3, 2)


def test_arrays_without_an_axis_for_the_only_channel(tmp_path):
    for given, shape, read in (
        ((28, 28, 28), (28, 28, 1), (28, 28, 28, 1)),
        ((3, 28, 28), (None, None, 1), (3, 28, 28, 1)),
        ((28, 28), (28, 28, 1), (1, 28, 28, 1)),
        ((5, 9), (9, 1), (5, 9, 1)),
        ((9, 1), (9, 1), (1, 9, 1)),
        ((5, 9, 1), (None, None, 1), (1, 5, 9, 1)),  # what is whole stays as it is
    ):
        x = np.arange(np.prod(given), dtype=np.float32).reshape(given)
        np.savez(tmp_path / "x.npz", x=x)
        np.testing.assert_array_equal(inference.read_examples(tmp_path / "x.npz", shape), x.reshape(read))
    np.savez(tmp_path / "x.npz", x=np.zeros((5, 9, 9)))
    with pytest.raises(ValueError, match=r"the shape \(9, 9, 3\)\. Received: .*x\.npz.*shape \(5, 9, 9\)"):
        inference.read_examples(tmp_path / "x.npz", (9, 9, 3))


def test_images_keep_their_size_where_the_network_has_none(tmp_path):
    Image.fromarray(np.zeros((5, 7, 3), np.uint8)).save(tmp_path / "x.png")
    assert inference.read_examples(tmp_path / "x.png", (None, None, 3)).shape == (1, 5, 7, 3)
    assert inference.read_examples(tmp_path / "x.png", (4, 4, 1)).shape == (1, 4, 4, 1)
    assert inference.read_examples(tmp_path / "x.png", (None, 4, 1)).shape == (1, 5, 4, 1)


def test_one_wrong_bit_in_a_png_is_noticed(tmp_path):
    path = tmp_path / "x.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (16, 16), dtype=np.uint8)).save(path, compress_level=0)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"Not a readable image.*Received: '.*x\.png'"):
        data.read_image(path, (16, 16, 1))


def test_an_example_must_not_be_huge(tmp_path, monkeypatch):
    monkeypatch.setattr(limits, "_LARGEST_EXAMPLE", 100)
    monkeypatch.setattr(examples, "_LARGEST_FILE", 1000)
    Image.fromarray(np.zeros((11, 10), np.uint8)).save(tmp_path / "x.png")
    write_wav(tmp_path / "x.wav", np.zeros((101, 1)))
    np.savez(tmp_path / "x.npz", x=np.zeros((1, 11, 10, 1), np.uint8))
    for name, shape in (("x.png", (None, None, 1)), ("x.wav", (None, 1)), ("x.npz", (None, None, 1))):
        with pytest.raises(ValueError, match=rf"may have at most 100 values. Received: '.*{name}'"):
            inference.read_examples(tmp_path / name, shape)
    np.savez_compressed(tmp_path / "x.npz", x=np.zeros((101, 10, 1), np.uint8))
    with pytest.raises(ValueError, match=r"1,010 bytes, more than 1,000.*Received: '.*x\.npz'"):
        inference.read_examples(tmp_path / "x.npz", (10, 1))


def test_images_are_for_images(tmp_path):
    Image.fromarray(np.zeros((3, 3), np.uint8)).save(tmp_path / "x.png")
    for shape in ((9, 1), (3, 3, 2), (None, None, 2)):
        with pytest.raises(ValueError, match=r"models of images.*Received: '.*x\.png'"):
            inference.read_examples(tmp_path / "x.png", shape)


def test_sound_is_for_signals(tmp_path):
    write_wav(tmp_path / "x.wav", np.zeros((9, 1)))
    with pytest.raises(ValueError, match=r"models of signals.*Received: '.*x\.wav'"):
        inference.read_examples(tmp_path / "x.wav", (3, 3, 1))


# Networks.


def test_a_file_of_a_network_with_the_channels_first_is_refused(tmp_path):
    settings = {"widths": (2,), "steps": 1, "data_format": "channels_first"}
    for name, build in (("cnn", models.ParabolicCNN), ("unet", models.ParabolicUNet)):
        build((3, 8, 6), 2, **settings).save(tmp_path / f"{name}.keras")
        with pytest.raises(ValueError, match=rf"channels must come last.*Received: '.*{name}\.keras', with shapes"):
            inference.load(tmp_path / f"{name}.keras")


# File by file.


def test_large_examples_are_predicted_a_few_at_a_time(tmp_path, monkeypatch):
    monkeypatch.setattr(limits, "_LARGEST_EXAMPLE", 100)
    for index in range(5):
        Image.fromarray(np.full((8, 5), index % 3, np.uint8)).save(tmp_path / f"{index}.png")
    seen = []
    list(inference.predict(classifier((None, None, 1), seen), inference.find([tmp_path])))
    assert [shape[0] for shape in seen] == [2, 2, 1]


def test_a_folder_that_cannot_be_read_is_reported(tmp_path, monkeypatch):
    Image.fromarray(np.zeros((2, 2), np.uint8)).save(tmp_path / "x.png")
    (tmp_path / "closed").mkdir()
    scandir = os.scandir

    def refuse(path):
        if os.fspath(path).endswith("closed"):
            raise PermissionError(13, "Permission denied", os.fspath(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    found = list(inference.predict(classifier((2, 2, 1), []), inference.find([tmp_path])))
    assert [(type(outcome), outcome.file) for outcome in found] == [
        (Prediction, str(tmp_path / "x.png")),
        (Unreadable, str(tmp_path / "closed")),
    ]
    assert "cannot be read" in found[1].reason


def test_files_of_one_example_are_predicted_together_and_in_order(tmp_path):
    names = []
    for index in range(70):
        names.append(str(tmp_path / f"{index:02}.png"))
        Image.fromarray(np.full((2, 2), index % 3, np.uint8)).save(names[-1])
    np.savez(tmp_path / "50a.npz", x=np.ones((2, 2, 2, 1)))
    (tmp_path / "60a.png").write_bytes(b"")
    (tmp_path / "notes.txt").write_text("not read")
    (tmp_path / "._00.png").write_text("not read")
    (tmp_path / ".cache").mkdir()
    (tmp_path / ".cache" / "x.png").write_text("not read")
    seen = []
    files = list(inference.find([tmp_path]))
    assert files == sorted([*names, str(tmp_path / "50a.npz"), str(tmp_path / "60a.png")])
    outcomes = list(inference.predict(classifier((2, 2, 1), seen), files))
    assert [outcome.file for outcome in outcomes] == sorted([*files, str(tmp_path / "50a.npz")])
    assert seen == [(51, 2, 2, 1), (2, 2, 2, 1), (10, 2, 2, 1), (9, 2, 2, 1)]
    for outcome in outcomes:
        if isinstance(outcome, Prediction):
            value = 1 if outcome.index is not None else int(outcome.file[-6:-4]) % 3
            assert (outcome.class_index, outcome.label, outcome.output) == (value, "abc"[value], 1.0)
    assert [outcome.file for outcome in outcomes if isinstance(outcome, Unreadable)] == [str(tmp_path / "60a.png")]


@pytest.mark.parametrize("white", [1.0, 16.0, 255.0, 4095.0])
def test_image_files_are_restored_in_the_units_of_the_network(tmp_path, white):
    pixels = np.arange(16, dtype=np.uint8).reshape(4, 4) * 17
    Image.fromarray(pixels).save(tmp_path / "x.png")
    np.savez(tmp_path / "x.npz", x=pixels[None, ..., None])  # arrays are what the network takes
    identity = Classifier((None, None, 1), ("0",), lambda x: x, task="restoration", max_value=white)
    image, array = inference.predict(identity, [str(tmp_path / "x.png"), str(tmp_path / "x.npz")])
    np.testing.assert_allclose(image.values[..., 0], pixels / 255 * white, rtol=1e-6)
    np.testing.assert_array_equal(array.values[..., 0], pixels)
    with Image.open(inference.Pictures(tmp_path / "out", identity).write(image)) as written:
        np.testing.assert_array_equal(written, pixels)


def test_links_to_folders_are_followed_once(tmp_path):
    (tmp_path / "data" / "cats").mkdir(parents=True)
    (tmp_path / "photos").mkdir()
    Image.new("L", (2, 2)).save(tmp_path / "data" / "cats" / "1.png")
    (tmp_path / "photos" / "cats").symlink_to(tmp_path / "data" / "cats")
    (tmp_path / "data" / "cats" / "back").symlink_to(tmp_path / "photos")
    assert list(inference.find([tmp_path / "photos"])) == [str(tmp_path / "photos" / "cats" / "1.png")]


def test_a_file_is_predicted_as_a_whole_or_not_at_all(tmp_path):
    np.savez(tmp_path / "x.npz", x=np.ones((3, 2, 1)))
    broken = Classifier((2, 1), ("a", "b"), lambda x: np.array([[1, 0], [np.nan, 0], [0, 1]]))
    (outcome,) = inference.predict(broken, [str(tmp_path / "x.npz")])
    assert outcome == Unreadable(
        str(tmp_path / "x.npz"), f"The network's output is not finite. Received: {outcome.file!r}"
    )


def test_an_empty_folder_is_reported(tmp_path):
    (tmp_path / "empty").mkdir()
    (outcome,) = inference.predict(classifier((2, 2, 1), []), inference.find([tmp_path / "empty"]))
    assert isinstance(outcome, Unreadable)
