"""Folders in parts, folders of sounds, tables of labels, and files that cannot be read."""

import logging
import wave

import numpy as np
import pytest
from helpers.data_sets import arrays, assert_equal_batches, batches, ids, picture

from keras_pdecnn import data


def sound(path, samples, rate=8000, width=2, channels=1):
    """Write a .wav file of integers."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setparams((channels, width, rate, 0, "NONE", None))
        file.writeframes(np.asarray(samples, f"<i{width}" if width > 1 else "u1").tobytes())
    return str(path)


def pictures(folder, names="ab", count=10, first=0):
    for label, name in enumerate(names):
        for index in range(count):
            picture(folder / name / f"{index:02}.png", value=first + 20 * label + index)


def parts(loaded):
    return {
        name: sorted(ids(arrays(getattr(loaded, name))[0]).tolist()) for name, size in loaded.info.sizes.items() if size
    }


# Folders in parts


@pytest.mark.parametrize("names", [("train", "test"), ("Training", "TESTING")])
def test_a_folder_of_train_and_test(tmp_path, names):
    pictures(tmp_path / names[0])
    pictures(tmp_path / names[1], count=3, first=100)
    loaded = data.load(tmp_path, 4, validation=0.2)
    assert loaded.info.name == tmp_path.name
    assert loaded.info.class_names == ("a", "b")
    assert loaded.info.sizes == {"train": 16, "validation": 4, "test": 6}
    seen = parts(loaded)
    assert seen["test"] == [100, 101, 102, 120, 121, 122]
    assert sorted(seen["train"] + seen["validation"]) == [*range(10), *range(20, 30)]
    x, y = arrays(loaded.test)
    np.testing.assert_array_equal(ids(x) >= 120, y == 1)


def test_val_is_the_validation_part(tmp_path):
    pictures(tmp_path / "train")
    pictures(tmp_path / "val", count=2, first=100)
    loaded = data.load(tmp_path, 4)
    assert parts(loaded)["validation"] == [100, 101, 120, 121]
    assert loaded.info.sizes == {"train": 16, "validation": 4, "test": 4}  # a fifth of each class of train/
    assert data.load(tmp_path, validation=0).validation is None
    pictures(tmp_path / "test", count=1, first=200)
    loaded = data.load(tmp_path, 4)
    assert loaded.info.sizes == {"train": 20, "validation": 4, "test": 2}
    assert parts(loaded)["test"] == [200, 220]


def test_classes_may_be_called_train_and_test(tmp_path):
    pictures(tmp_path, names=("test", "train"))
    assert data.load(tmp_path).info.class_names == ("test", "train")


def test_folders_in_parts_that_do_not_fit(tmp_path):
    pictures(tmp_path / "train")
    pictures(tmp_path / "test")
    pictures(tmp_path / "test", names="c")
    with pytest.raises(ValueError, match=r"no others than .*Received: '.*test' with 'c'"):
        data.load(tmp_path)
    pictures(tmp_path, names=("extra",))
    with pytest.raises(ValueError, match=r"must have no other sub-folders. Received: source=.* with 'extra'"):
        data.load(tmp_path)


def test_a_part_without_classes(tmp_path):
    pictures(tmp_path / "train")
    picture(tmp_path / "test" / "1.png")
    with pytest.raises(ValueError, match=r"one sub-folder per class.*Received: '.*test' with none"):
        data.load(tmp_path)
    (tmp_path / "test" / "a").mkdir()
    with pytest.raises(ValueError, match=r"at least one of the images.*Received: 0 in '.*a'"):
        data.load(tmp_path)


# Sounds


def test_a_folder_of_sounds(tmp_path):
    for label, name in enumerate(("no", "yes")):
        for index in range(5):
            sound(tmp_path / name / f"{index}.wav", [100 * label + index] * 6)
    loaded = data.load(tmp_path, 4, validation=0)
    assert loaded.info.input_shape == (6, 1)
    assert loaded.info.dtype == "int16"
    assert loaded.info.sampling_rate == 8000
    assert loaded.info.class_names == ("no", "yes")
    assert loaded.info.sizes == {"train": 8, "validation": 0, "test": 2}
    assert sorted(value for part in parts(loaded).values() for value in part) == [*range(5), *range(100, 105)]
    assert data.load(tmp_path, size=4, validation=0).info.input_shape == (4, 1)
    x, _ = arrays(data.load(tmp_path, size=8, validation=0).test)
    np.testing.assert_array_equal(x[:, 6:], 0)
    resampled = data.load(tmp_path, sampling_rate=4000, validation=0)
    assert (resampled.info.input_shape, resampled.info.dtype) == ((3, 1), "float32")
    assert resampled.info.sampling_rate == 4000


def test_sounds_that_differ(tmp_path):
    for name in "ab":
        for index in range(3):
            sound(tmp_path / name / f"{index}.wav", [index] * 6)
    sound(tmp_path / "a" / "long.wav", [9] * 10)
    with pytest.raises(ValueError, match=r"differ in length; give `size`.*Received: .*size=None"):
        data.load(tmp_path)
    sound(tmp_path / "a" / "long.wav", [9] * 12, rate=16000)
    with pytest.raises(ValueError, match=r"give `sampling_rate`.*Received: .*16000.*sampling_rate=None"):
        data.load(tmp_path)
    assert data.load(tmp_path, sampling_rate=8000, validation=0).info.input_shape == (6, 1)
    sound(tmp_path / "a" / "long.wav", [0, 100] * 6, channels=2)
    loaded = data.load(tmp_path, validation=0)
    assert (loaded.info.input_shape, loaded.info.dtype) == ((6, 1), "float32")
    with pytest.raises(ValueError, match=r"must be a length for sounds. Received: .*size="):
        data.load(tmp_path, size=(4, 4))


def test_images_have_no_sampling_rate(tmp_path):
    pictures(tmp_path)
    with pytest.raises(ValueError, match=r"`sampling_rate` is for folders of .wav files. Received: .*sampling_rate=8"):
        data.load(tmp_path, sampling_rate=8)


# Tables


def table(folder, rows, head="file,label"):
    path = folder / "labels.csv"
    path.write_text("\n".join([head, *rows]) + "\n", encoding="utf-8-sig")
    return path


def test_a_table_of_labels(tmp_path):
    for index in range(10):
        picture(tmp_path / "images" / f"{index}.png", value=index)
    path = table(tmp_path, [f"images/{index}.png, {'odd' if index % 2 else 'even'}" for index in range(10)])
    for source in (tmp_path, path):
        loaded = data.load(source, 4, validation=0)
        assert loaded.info.name == tmp_path.name
        assert loaded.info.class_names == ("even", "odd")
        assert loaded.info.sizes == {"train": 8, "validation": 0, "test": 2}
        for x, y in (arrays(loaded.train), arrays(loaded.test)):
            np.testing.assert_array_equal(ids(x) % 2, y)


def test_a_table_that_says_what_the_folders_say_changes_nothing(tmp_path):
    pictures(tmp_path)
    before = data.load(tmp_path, 8, seed=3)
    table(tmp_path, ["x.png,7"], head="image,class")  # of another kind
    assert_equal_batches(batches(data.load(tmp_path, 8, seed=3).train, 9), batches(before.train, 9))
    table(tmp_path, [f"{name}/{index:02}.png,{name}" for index in range(10) for name in "ba"])
    again = data.load(tmp_path, 8, seed=3)
    assert again.info == before.info
    assert_equal_batches(batches(again.epochs(1), 9), batches(before.epochs(1), 9))
    assert_equal_batches(batches(again.test, 9), batches(before.test, 9))


@pytest.mark.parametrize(
    ("rows", "head", "message"),
    [
        (["a.png,x"], "file,class", "label missing. Received: .* with file, class"),
        (["a.png,x", "b.png,"], "file,label", "a file and a label. Received: .*, line 3"),
        (["a.png,x", "a.png,y"], "file,label", "one label to a file. Received: .*'a.png' with 'x' and 'y'"),
        (["a.png,x", "b.wav,x"], "file,label", "must all be images .*with 'b.wav'"),
        (["a.txt,x"], "file,label", "must be images, .wav files or videos. Received: .*'a.txt'"),
        (["a.png,x", "b.png,y", "c.png,y"], "file,label", "at least two files.*1 of class 'x'"),
        (["a.png,x", "b.png,x"], "file,label", "does not exist.*Received: '.*png'"),
    ],
)
def test_tables_that_are_refused(tmp_path, rows, head, message):
    with pytest.raises(ValueError, match=message):
        data.load(table(tmp_path, rows, head))


# Files that cannot be read


@pytest.mark.parametrize("damage", ["text", "truncated"])
def test_unreadable_files_are_left_out_and_named(tmp_path, caplog, damage):
    pictures(tmp_path)
    before = parts(data.load(tmp_path, validation=0))
    noise = np.random.default_rng(0).integers(0, 255, (5, 6, 3), np.uint8)
    bad = tmp_path / "a" / "03.jpg"
    from PIL import Image

    Image.fromarray(noise).save(bad)
    bad.write_bytes(b"hello" if damage == "text" else bad.read_bytes()[:-40])
    with pytest.raises(ValueError, match=r"Not a readable image .*--skip-unreadable.* Received: '.*03\.jpg'"):
        data.load(tmp_path, size=(5, 6))
    with caplog.at_level(logging.WARNING):
        loaded = data.load(tmp_path, size=(5, 6), validation=0, skip_unreadable=True)
    assert loaded.info.skipped == (str(bad),)
    assert "1 of 21 files cannot be read and are left out: Not a readable image" in caplog.text
    assert "03.jpg" in caplog.text
    after = parts(loaded)
    assert sorted(after["train"] + after["test"]) == sorted(before["train"] + before["test"])


def test_no_file_can_be_read(tmp_path):
    for name in "ab":
        (tmp_path / name).mkdir()
        for index in range(2):
            (tmp_path / name / f"{index}.wav").write_text("no sound")
    with pytest.raises(ValueError, match=r"None of the 4 files can be read; the first: Not a readable .wav"):
        data.load(tmp_path, skip_unreadable=True)
