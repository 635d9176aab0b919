"""Folders of images, and single images."""

import numpy as np
import pytest
from helpers.data_sets import arrays, ids, picture
from PIL import Image

from keras_pdecnn import data
from keras_pdecnn.data import memory


@pytest.fixture
def photos(tmp_path):
    """A folder of two classes, 10 and 20 images of 5 x 6 pixels; each image is filled with its own number."""
    for name, count, offset in (("cat", 10, 0), ("dog", 20, 100)):
        for index in range(count):
            picture(tmp_path / name / f"{index:02}.png", value=offset + index)
    return tmp_path


def test_folder(photos):
    (photos / "cat" / "notes.txt").write_text("not an image")
    (photos / ".hidden").mkdir()
    loaded = data.load(photos, 8, validation=0.25)
    assert loaded.info == data.Info(
        name=photos.name,
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
    other = data.load(photos, 8, validation=0.5, seed=9)
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


def test_folder_of_differing_sizes(photos):
    picture(photos / "dog" / "big.png", size=(12, 10), value=7)
    with pytest.raises(ValueError, match=r"give `size`.*Received: .*\.png.*\.png.*size=None"):
        data.load(photos)
    assert data.load(photos, size=4).info.input_shape == (4, 4, 3)
    loaded = data.load(photos, 4, size=(7, 3))
    assert loaded.info.input_shape == (7, 3, 3)
    x = np.concatenate([arrays(part)[0] for part in (loaded.train, loaded.validation, loaded.test)])
    assert sorted(ids(x).tolist()) == [*range(7), 7, 7, 8, 9, *range(100, 120)]


def test_folder_without_classes(tmp_path):
    picture(tmp_path / "a.png")
    with pytest.raises(ValueError, match=r"one sub-folder per class. Received: source="):
        data.load(tmp_path)


def test_folder_with_an_empty_class(photos):
    (photos / "emu").mkdir()
    with pytest.raises(ValueError, match=r"at least two images.*Received: 0 in '.*emu'"):
        data.load(photos)


def test_folder_of_one_class(tmp_path):
    for index in range(5):
        picture(tmp_path / "a" / f"{index}.png")
    with pytest.raises(ValueError, match=r"at least two classes. Received: classes=1"):
        data.load(tmp_path)


def test_folder_larger_than_the_limit(photos, monkeypatch):
    monkeypatch.setattr(memory, "MEMORY_LIMIT", 30 * 5 * 6 * 3 - 1)
    with pytest.raises(ValueError, match="which needs"):
        data.load(photos)


@pytest.mark.parametrize("damage", ["text", "truncated"])
def test_unreadable_image(photos, damage):
    noise = np.random.RandomState(0).randint(0, 255, (5, 6, 3), np.uint8)
    bad = photos / "cat" / "bad.png"
    Image.fromarray(noise).save(bad)
    bad.write_bytes(b"hello" if damage == "text" else bad.read_bytes()[:70])
    with pytest.raises(ValueError, match=r"Not a readable image .*Received: '.*bad\.png'"):
        data.load(photos)
    with pytest.raises(ValueError, match=r"Not a readable image .*Received: '.*bad\.png'"):
        data.read_image(bad, (5, 6, 3))


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


def test_read_image_agrees_with_the_folder(photos):
    loaded = data.load(photos, 100, size=4, validation=0)
    x, y = arrays(loaded.test)
    for example, label in zip(x, y, strict=True):
        number = int(example[0, 0, 0])
        path = photos / loaded.info.class_names[label] / f"{number % 100:02}.png"
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
