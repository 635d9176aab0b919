"""The tasks: their targets, data, networks, and every command of the command line for each of them."""

import csv
import dataclasses
import io
import json
import math
import os
import pathlib
import shutil

import click.testing
import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import keras_pdecnn as pde
from keras_pdecnn import cli, data, inference, training
from keras_pdecnn.data.sources import pairs as source_pairs
from keras_pdecnn.networks import NETWORKS
from keras_pdecnn.recipes import RECIPES, Recipe, for_source
from keras_pdecnn.runs import RunFolder
from keras_pdecnn.tasks import DEGRADATIONS, TASKS, to_degradation
from keras_pdecnn.tuning.sizes import count_multiply_adds, count_weights, training_memory

OTHERS = [name for name in TASKS if name != "classification"]


def invoke(*arguments):
    return click.testing.CliRunner().invoke(cli.main, list(map(str, arguments)))


def disks(count, side, seed=0):
    """Return images of bright disks on noise, (count, side, side, 1), and where the disks are, (count, side, side)."""
    rng = np.random.default_rng(seed)
    centre, radius = rng.uniform(0.3 * side, 0.7 * side, (2, count, 1, 1)), rng.uniform(2, 0.3 * side, (count, 1, 1))
    row, column = np.mgrid[:side, :side]
    inside = (row - centre[0]) ** 2 + (column - centre[1]) ** 2 < radius**2
    x = rng.normal(60, 10, (count, side, side)) + 120 * inside
    return x.astype(np.uint8)[..., None], inside.astype(np.uint8)


def targets(task, masks):
    """Return targets of a task for images of disks."""
    area = masks.reshape(len(masks), -1).mean(axis=1)
    left = masks[:, :, :6].reshape(len(masks), -1).max(axis=1)
    return {
        "multi_label": np.stack([left, area > np.median(area)], axis=1),
        "regression": np.stack([area, 100 + 10 * area], axis=1),
        "segmentation": masks,
        "restoration": masks[..., None] * np.uint8(200),
    }[task]


@pytest.fixture(scope="module")
def archives(tmp_path_factory):
    """Return the paths of a small data set for each task."""
    folder = tmp_path_factory.mktemp("data")
    x, masks = disks(24, 12)
    for task in OTHERS:
        y = targets(task, masks)
        names = {} if task == "restoration" else {"class_names": ["one", "two"]}
        np.savez(folder / f"{task}.npz", x_train=x[:16], y_train=y[:16], x_test=x[16:], y_test=y[16:], **names)
    return {task: folder / f"{task}.npz" for task in OTHERS}


@pytest.fixture
def pairs(tmp_path):
    """Return a folder of six images with masks."""
    x, masks = disks(6, 12)
    for name in ("images", "masks"):
        (tmp_path / name).mkdir()
    for index in range(6):
        Image.fromarray(x[index, ..., 0]).save(tmp_path / "images" / f"{index}.png")
        Image.fromarray(masks[index]).save(tmp_path / "masks" / f"{index}.png")
    return tmp_path


SMALL = ("--widths", 4, "--steps", 1, "--epochs", 1, "--batch-size", 8, "--validation", 0.25, "--verbose", 0)


# The table and the recipes.


@pytest.mark.parametrize("task", list(TASKS))
def test_every_recipe_takes_every_task(task):
    for name, recipe in RECIPES.items():
        assert recipe.with_settings(task=task).task == task, name
    assert for_source("photos.npz", task=task).task == task
    assert TASKS[task].monitor_title


def test_the_default_is_a_classification_as_before():
    recipe = Recipe()
    assert (recipe.task, recipe.degradation, recipe.patch) == ("classification", None, None)
    settings = recipe.network_settings()
    assert settings["classifier_activation"] == "softmax"
    assert settings["weight_decay"] == recipe.weight_decay
    assert Recipe.from_dict({"widths": [4]}).task == "classification"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"task": "clustering"}, "task='clustering'"),
        ({"task": "segmentation", "mixup": 0.2}, "cannot follow mixup. Received: task='segmentation', mixup=0.2"),
        ({"task": "regression", "cutmix": 1.0}, "cannot follow cutmix"),
        ({"task": "restoration", "noise": 0.1}, "cannot follow noise"),
        ({"task": "segmentation", "rand_augment": 2}, "cannot follow rand_augment"),
        ({"task": "regression", "loss": "least_squares"}, "choice of losses"),
        ({"task": "multi_label", "label_smoothing": 0.1}, "smoothed"),
        ({"task": "segmentation", "degradation": "noise:25"}, "degradation is for restoration"),
        ({"degradation": "noise:25"}, "task='classification', degradation='noise:25'"),
        ({"task": "regression", "patch": 4}, "patch is for segmentation and restoration"),
        ({"task": "restoration", "dropout": 0.1}, "has no dropout"),
        ({"task": "segmentation", "opening_stride": 2}, "opening_stride=1"),
        ({"task": "segmentation", "provable": True}, "no softmax"),
        (
            {"task": "restoration", "degradation": "noise"},
            "write noise:25 or noise:5-50. Received: degradation='noise'",
        ),
        ({"task": "restoration", "degradation": "rain:3"}, "must be one of: noise:25"),
        ({"task": "segmentation", "mask_colors": ["red"]}, "such as ff8000"),
    ],
)
def test_settings_that_do_not_suit_a_task(settings, message):
    with pytest.raises(ValueError, match="Received: ") as error:
        Recipe().with_settings(**settings)
    assert message in str(error.value)


# Degradations.


class Numbers:
    """Random numbers of NumPy in place of those of the pipeline."""

    def __init__(self):
        self.rng = np.random.default_rng(0)

    def normal(self, shape):
        return self.rng.normal(size=[int(n) for n in shape]).astype(np.float32)

    def fractions(self, shape):
        return self.rng.uniform(size=[int(n) for n in shape]).astype(np.float32)


@pytest.mark.parametrize("shape", [(2, 9, 1), (2, 8, 9, 3), (2, 5, 6, 7, 1)])
@pytest.mark.parametrize(
    "text", ["noise:25", "noise:5-50", "blur:1", "downsample:2", "half", "border:0.2", "salt-and-pepper:0.5"]
)
def test_degradations_work_on_every_number_of_axes(text, shape):
    x = tf.fill(shape, 100.0)
    y = to_degradation("degradation", text)(x, Numbers()).numpy()
    assert y.shape == shape
    if text in ("blur:1", "downsample:2"):
        np.testing.assert_allclose(y, 100, rtol=1e-5)  # constants stay what they are
    else:
        assert y.std() > 20 or "noise" in text
    assert set(DEGRADATIONS) >= {text.split(":")[0].replace("-", "_")}


def test_degradations_of_known_images():
    x = tf.reshape(tf.range(16, dtype=tf.float32), (1, 4, 4, 1))
    half = to_degradation("degradation", "half")(x, None).numpy()[0, ..., 0]
    np.testing.assert_array_equal(half, x[0, ..., 0] * np.array([1, 1, 0, 0]))
    small = to_degradation("degradation", "downsample:2")(x, None).numpy()[0, ..., 0]
    np.testing.assert_array_equal(small[:2, :2], 2.5)
    border = to_degradation("degradation", "border:0.25")(x, None).numpy()[0, ..., 0]
    assert (np.count_nonzero(border), border[1, 1]) == (4, 5)


@pytest.mark.parametrize(
    ("dtype", "largest", "white"),
    [("uint8", 100, 255), ("uint16", 3000, 4095), ("uint16", 40000, 65535), ("int16", 200, 255), ("float32", 0.7, 1)],
)
def test_white_is_what_the_images_show(dtype, largest, white):
    x = np.full((20, 6, 6, 1), largest, dtype)
    settings = {"task": "restoration", "degradation": "noise:25", "validation": 0}
    loaded = data.load(((x, x), (x, x)), 20, **settings)
    assert loaded.info.max_value == white
    noise = np.concatenate([x.numpy() - y.numpy() for x, y in loaded.test])
    assert noise.std() == pytest.approx(25 / 255 * white, rel=0.1)


@pytest.mark.parametrize(("dtype", "largest", "white"), [("uint16", 3000, 4095), ("float32", 200, None)])
def test_white_is_the_same_for_streamed_images(tmp_path, dtype, largest, white):
    path, x = str(tmp_path / "images.npz"), np.zeros((600, 4, 4, 1), dtype)
    x[599] = largest  # in the last of the pieces that are read at a time
    np.savez(path, x_train=x, x_test=x[:20])
    for in_memory in (True, False):
        settings = {"task": "restoration", "degradation": "noise:25", "validation": 0, "in_memory": in_memory}
        if white is None:
            with pytest.raises(ValueError, match="values up to 200"):
                data.load(path, 20, **settings)
        else:
            assert data.load(path, 20, **settings).info.max_value == white


def test_floating_point_images_to_restore_have_white_at_one(rng):
    x = rng.uniform(0, 255, (8, 6, 6, 1)).astype("float32")
    with pytest.raises(ValueError, match=r"Divide them by the value of white.* Received: values up to 25\d"):
        data.load(((x, x), (x, x)), 4, task="restoration", degradation="noise:25", validation=0)
    with pytest.raises(ValueError, match="Divide them by the value of white"):
        data.load(((x / 255, x), (x / 255, x)), 4, task="restoration", validation=0)
    masks = np.zeros((8, 6, 6), "int32")
    masks[:, 0] = 1
    assert data.load(((x, masks), (x, masks)), 4, task="segmentation", validation=0).info.max_value == 1


def test_degraded_test_images_depend_on_nothing_but_their_number():
    x, _ = disks(12, 16)
    source, settings = ((x, x), (x[:7], x[:7])), {"task": "restoration", "degradation": "noise:25", "validation": 0}
    first = data.load(source, 4, seed=0, **settings)
    other = data.load(source, 3, seed=1, **settings)
    noisy, clean = first.evaluation["test"].spread(7)
    np.testing.assert_array_equal(clean, x[:7])
    for loaded in (first, other):
        batches = np.concatenate([batch for batch, _ in loaded.test.as_numpy_iterator()])
        np.testing.assert_array_equal(batches, noisy)
    assert first.info.max_value == 255
    assert 23 < (noisy - clean.astype(float)).std() < 27
    a, b = (next(first.epochs(1).as_numpy_iterator())[0] for _ in range(2))
    np.testing.assert_array_equal(a, b)
    digits = data.load("digits", 500, **settings)
    assert digits.info.max_value == 16
    noisy, clean = digits.evaluation["test"].spread(20)
    assert 1.4 < (noisy - clean).std() < 1.8  # 25 of 255 are 1.57 of 16


# Data.


@pytest.mark.parametrize("rotate", [0.0, 30.0])
def test_images_and_masks_are_changed_alike(rotate):
    _, masks = disks(8, 16)
    x = masks[..., None] * np.uint8(255)
    augmentation = data.Augmentation(flip=True, pad=0.25, rotate=rotate)
    settings = {"task": "segmentation", "augmentation": augmentation, "patch": (12, 10), "patches": 3}
    loaded = data.load(((x, masks), (x, masks)), 6, validation=0, **settings)
    assert (loaded.steps_per_epoch, loaded.info.sizes["train"]) == (4, 8)
    whole = data.load(((x, masks), (x, masks)), 6, validation=0, **{**settings, "patch": 16})
    assert whole.steps_per_epoch == 2
    moved = 0
    for images, labels in loaded.train.as_numpy_iterator():
        assert (images.shape, labels.shape) == ((6, 12, 10, 1), (6, 12, 10))
        assert set(np.unique(labels)) <= {0, 1}
        agree = (images[..., 0] > 127) == labels.astype(bool)
        assert agree.mean() > (0.97 if rotate else 0.999)
        moved += labels.sum()
    assert moved > 0
    for images, labels in loaded.test.as_numpy_iterator():
        assert images.shape[1:3] == labels.shape[1:] == (16, 16)


@pytest.mark.parametrize(
    ("task", "y", "message"),
    [
        ("segmentation", np.zeros((4, 6, 5), int), "shape (4, 6, 6). Received: shape=(4, 6, 5)"),
        ("segmentation", np.full((4, 6, 6), 0.5), "integers"),
        ("segmentation", np.full((4, 6, 6), -1), "negative"),
        ("segmentation", np.zeros((4, 6, 6), int), "at least two classes"),
        ("regression", np.array([1.0, 2.0, np.nan, 3.0]), "example 2"),
        ("regression", np.zeros((4, 2, 2)), "(n,) or (n, outputs)"),
        ("multi_label", np.array([[0, 1], [1, 2], [0, 0], [1, 1]]), "[1, 2] in example 1"),
        ("restoration", np.zeros((4, 5, 6, 1)), "shape of the examples, (4, 6, 6, 1)"),
    ],
)
def test_targets_that_do_not_fit(task, y, message):
    x = np.zeros((4, 6, 6, 1), np.uint8)
    with pytest.raises(ValueError, match="Received: ") as error:
        data.load(((x, y), (x, y)), task=task, validation=0)
    assert message in str(error.value)


@pytest.mark.parametrize("task", [*TASKS][:-1])  # the outputs of a restoration are channels, which have no names
@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["a", "b", "a"], "different names. Received: 2 times 'a' in class_names=('a', 'b', 'a')"),
        (["a", "b\nc", "d"], "one line of text, and not empty. Received: 'b\\nc' in class_names=('a', 'b\\nc', 'd')"),
        (["a", "", "b"], "one line of text, and not empty. Received: '' in class_names=('a', '', 'b')"),
    ],
)
def test_names_of_classes_and_outputs_are_lines_that_differ(tmp_path, task, names, message):
    x, y = np.zeros((12, 6, 6, 1), np.uint8), np.arange(12) % 3
    y = {"classification": y, "segmentation": np.ones((12, 6, 6), int) * y[:, None, None]}.get(task, np.eye(3)[y])
    np.savez(tmp_path / "x.npz", x=x, y=y, class_names=names)
    with pytest.raises(ValueError, match=r"x\.npz: ") as error:
        data.load(tmp_path / "x.npz", task=task)
    assert message in str(error.value)


def test_an_unknown_class_in_a_test_mask_is_named():
    x, masks = disks(4, 8)
    wrong = masks.copy()
    wrong[2, 0, 0] = 7
    with pytest.raises(ValueError, match=r"lie in 0\.\.1, .* Received: class 7 in y_test, mask 2"):
        data.load(((x, masks), (x, wrong)), task="segmentation", validation=0)


def test_a_folder_of_images_and_masks(pairs):
    (pairs / "classes.txt").write_text("ground\ndisk\n")
    loaded = data.load(str(pairs), 2, task="segmentation", validation=0.2)
    assert loaded.info.class_names == ("ground", "disk")
    assert loaded.info.sizes == {"train": 4, "validation": 1, "test": 1}
    x, y = loaded.evaluation["test"].spread(1)
    assert np.mean((x[0, ..., 0] > 120) == (y[0] == 1)) > 0.95
    half = data.load(str(pairs), 2, task="segmentation", validation=0, size=(6, 8))
    assert half.evaluation["test"].spread(1)[1].shape == (1, 6, 8)
    assert data.load(str(pairs), 2, task="restoration", degradation="blur:1", validation=0).info.sizes["test"] == 1


def test_damaged_images_and_masks_can_be_left_out(pairs, caplog):
    whole = data.load(pairs, 2, task="segmentation", validation=0)
    kept = {part: [file.name for file, _ in of_part] for part, of_part in chosen_pairs(pairs).items()}
    image, mask = pairs / "images" / kept["train"][0], pairs / "masks" / kept["train"][2]
    for file in (image, mask):
        file.write_bytes(file.read_bytes()[:40])
    with pytest.raises(ValueError, match="Not a readable image"):
        data.load(pairs, 2, task="segmentation", validation=0)
    left = data.load(pairs, 2, task="segmentation", validation=0, skip_unreadable=True)
    assert left.info.skipped == (str(image), str(mask))
    assert "2 of 12 files cannot be read and are left out" in caplog.text
    assert (left.info.sizes["train"], left.info.sizes["test"]) == (whole.info.sizes["train"] - 2, 1)
    np.testing.assert_array_equal(left.evaluation["test"].spread(9)[0], whole.evaluation["test"].spread(9)[0])
    test = pairs / "masks" / kept["test"][0]
    test.write_bytes(b"")
    with pytest.raises(ValueError, match=r"No image of the part 'test' can be read"):
        data.load(pairs, 2, task="segmentation", validation=0, skip_unreadable=True)


def chosen_pairs(folder):
    """Return the pairs of each part of a folder that is not divided."""
    every = [(pathlib.Path(image), mask) for image, mask in source_pairs._pairs(str(folder), "masks")]
    count = source_pairs.test_count(len(every))
    return {"test": every[:count], "train": every[count:]}


def test_masks_of_black_and_white_are_no_numbers_of_classes(pairs):
    for path in (pairs / "masks").iterdir():
        Image.fromarray(np.asarray(Image.open(path)) * np.uint8(255)).save(path)
    with pytest.raises(ValueError, match=r"mask_colors, such as 000000,ffffff. Received: 0, 255 of 0\.\.255"):
        data.load(pairs, 2, task="segmentation", validation=0)
    colors = ("000000", "ffffff")
    assert data.load(pairs, 2, task="segmentation", validation=0, mask_colors=colors).info.classes == 2
    (pairs / "classes.txt").write_text("\n".join(f"grey {number}" for number in range(256)))
    assert data.load(pairs, 2, task="segmentation", validation=0).info.classes == 256


def test_another_data_set_for_a_network_of_pixels_is_resized_alike(pairs, tmp_path_factory):
    recipe = Recipe(data=str(pairs), size=8, drop_remainder=True, batch_size=4, validation=0).with_settings(
        task="segmentation"
    )
    info = training.load_data(recipe).info
    other = shutil.copytree(pairs, tmp_path_factory.mktemp("other") / "moved")
    found = training.load_like(recipe, info, str(other))
    assert found.info.input_shape == info.input_shape == (8, 8, 1)
    assert found.info.sizes == {"train": 5, "validation": 0, "test": 1}
    many = dataclasses.replace(recipe, batch_size=64)  # more than there are for training, which are not needed
    assert training.load_like(many, info, str(other)).info.sizes["test"] == 1


def test_masks_in_colours(pairs):
    colors = np.array([[0, 0, 0], [255, 128, 0]], np.uint8)
    for path in (pairs / "masks").iterdir():
        Image.fromarray(colors[np.asarray(Image.open(path))]).save(path)
    with pytest.raises(ValueError, match="give the colours of the classes, mask_colors"):
        data.load(str(pairs), task="segmentation")
    loaded = data.load(str(pairs), 2, task="segmentation", validation=0, mask_colors=("#000000", "FF8000"))
    assert loaded.evaluation["test"].spread(1)[1].max() == 1
    with pytest.raises(ValueError, match=r"the colour ff8000 at row .* is that of no class"):
        data.load(str(pairs), task="segmentation", mask_colors=("000000", "ff0000"))


def test_files_without_a_partner_are_named(pairs):
    (pairs / "masks" / "3.png").unlink()
    done = invoke("train", pairs, "--task", "segmentation", *SMALL)
    assert (done.exit_code, done.output.count("\n")) == (2, 1)
    assert "no file of its name in 'masks'" in done.output
    assert "3.png" in done.output
    Image.new("L", (5, 12)).save(pairs / "masks" / "3.png")
    with pytest.raises(ValueError, match=r"same size. Received: \(12, 12\) in .*3.png' and \(12, 5\)"):
        data.load(str(pairs), task="segmentation")
    Image.new("L", (12, 12)).save(pairs / "masks" / "9.png")
    with pytest.raises(ValueError, match=r"no image of its name in .images.*Received: .*9\.png"):
        data.load(str(pairs), task="segmentation")
    with pytest.raises(ValueError, match=r"write an \.npz file"):
        data.load(str(pairs), task="regression")
    with pytest.raises(ValueError, match=r"must hold the folders|.targets. is missing"):
        data.load(str(pairs), task="restoration")


def test_images_that_are_degraded_need_no_targets(tmp_path):
    x, _ = disks(5, 8)
    for arrays in ({"x": x}, {"x_train": x[:4], "x_test": x[4:]}):
        np.savez(tmp_path / "images.npz", **arrays)
        settings = {"task": "restoration", "degradation": "half", "validation": 0}
        loaded = data.load(str(tmp_path / "images.npz"), 4, **settings)
        assert loaded.info.sizes == {"train": 4, "validation": 0, "test": 1}
        with pytest.raises(ValueError, match=r"y.* missing"):
            data.load(str(tmp_path / "images.npz"), task="restoration")


# Networks.


@pytest.mark.parametrize("architecture", list(NETWORKS)[:4])
@pytest.mark.parametrize("task", ["segmentation", "restoration"])
def test_the_weights_of_networks_with_outputs_for_every_pixel(architecture, task):
    recipe = Recipe(architecture=architecture, widths=(4, 6, 8), steps=(1, 2, 1)).with_settings(task=task)
    info = data.Info("data", (8, 8, 3), 3, ("a", "b", "c"), {}, "uint8")
    model = training.build(recipe, info)
    assert model.output_shape == (None, None, None, 3)
    count = sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)
    assert count_weights(recipe, (8, 8, 3), 3) == count
    assert count_multiply_adds(recipe, (8, 8, 3), 3) > 64 * 27 * 4
    assert training_memory(recipe, (8, 8, 3), 3) > 12 * count


def test_a_certified_restoration_of_raw_images():
    recipe = Recipe(architecture="parabolic", widths=(4, 4), steps=1)
    recipe = recipe.with_settings(task="restoration", provable=True, degradation="noise:25")
    info = data.Info("data", (8, 8, 1), 1, ("0",), {}, "uint8", max_value=255.0)
    model = training.build(recipe, info)
    assert count_weights(recipe, (8, 8, 1), 1) == sum(int(np.prod(w.shape)) for w in model.trainable_weights)
    assert pde.stability.lipschitz_bound(model) <= 1 + 1e-4


def test_a_provable_restoration_is_trained_on_whole_images():
    recipe = RECIPES["restoration"].with_settings(provable=True)
    assert recipe.patch is None
    info = data.Info("data", (256, 200, 1), 1, ("0",), {}, "uint8", max_value=255.0)
    with pytest.raises(ValueError, match=r"whole images.* Received: patch=128.* images of \(256, 200\)"):
        training.build(dataclasses.replace(recipe, patch=128), info)


def test_a_restoration_is_the_identity_before_training(rng):
    recipe = Recipe(widths=(4, 4), steps=1).with_settings(task="restoration")
    model = training.build(recipe, data.Info("data", (8, 8, 1), 1, ("0",), {}, "uint8", max_value=255.0))
    x = rng.uniform(0, 255, (2, 9, 7, 1)).astype(np.float32)
    np.testing.assert_allclose(model.predict(x, verbose=0), x, rtol=1e-5)


def test_numbers_that_are_not_finite_are_reported_from_a_file(tmp_path):
    folder = RunFolder(tmp_path)
    metrics = {"mean_iou": 0.5, "iou": {"a": 0.5, "b": math.nan}, "accuracy": 1.0, "loss": 1.0, "diverged": None}
    folder.write_metrics(metrics)
    read = folder.read_metrics()
    assert read["diverged"] is None
    assert "(a 0.5000, b nan)" in TASKS["segmentation"].report(read)


def test_targets_that_float32_cannot_tell_apart_are_refused():
    x, y = np.zeros((40, 4, 4, 1), "float32"), 1.7e9 + np.linspace(0, 1000, 40)
    settings = {"task": "regression", "validation": 0}
    with pytest.raises(ValueError, match=r"output 1 apart. .* Received: mean=1.7e\+09, standard deviation=295.985"):
        data.load(((x, np.stack([y - 1.7e9, y], axis=1)),) * 2, 4, **settings)
    assert data.load(((x, y - 1.7e9 + 1e5),) * 2, 4, **settings).info.target_mean == (100500.0,)
    for constant in (0.1, 1.7e9 + 1):  # no number to tell apart
        info = data.load(((x, np.full(40, constant)),) * 2, 4, **settings).info
        assert info.target_deviation == (1.0,)


def test_a_regression_predicts_in_its_units():
    recipe = Recipe(widths=(4,), steps=1, weight_decay=0.0).with_settings(task="regression")
    info = data.Info(
        "data", (8, 8, 1), 2, ("a", "b"), {}, "uint8", target_mean=(5.0, -3.0), target_deviation=(2.0, 9.0)
    )
    model = training.build(recipe, info)
    for weight in model.get_layer("classifier").weights:
        weight.assign(keras.ops.zeros(weight.shape))
    np.testing.assert_allclose(model.predict(np.zeros((1, 8, 8, 1)), verbose=0), [[5, -3]])
    loss = TASKS["regression"].loss(recipe, info)
    assert float(loss(np.array([[7.0, -3.0]]), np.array([[5.0, 6.0]]))) == pytest.approx(1.0)
    loss = keras.losses.deserialize(keras.losses.serialize(loss))
    assert loss.scale == [2.0, 9.0]


# The command line.


@pytest.mark.parametrize("task", OTHERS)
def test_train_evaluate_predict(task, archives, tmp_path, eager, monkeypatch):
    monkeypatch.chdir(tmp_path)
    of_pixels = TASKS[task].of_pixels
    options = ("--patch", 8, "--patches", 1) if of_pixels else ()
    done = invoke("train", archives[task], "--task", task, *SMALL, *options, "--output", "run")
    assert done.exit_code == 0, done.output
    folder = RunFolder("run")
    metrics, history = folder.read_metrics(), folder.read_history()
    monitor = TASKS[task].monitor
    assert {"loss", monitor, f"val_{monitor}"} <= set(history)
    assert np.isfinite(metrics[monitor])
    assert folder.training_curves.is_file()
    assert folder.predictions.is_file()
    assert TASKS[task].report(metrics) in done.output
    again = invoke("evaluate", "run")
    assert again.exit_code == 0, again.output
    assert TASKS[task].report(metrics) in again.output

    if of_pixels:
        x = np.load(archives[task])["x_test"]
        Image.fromarray(x[0, ..., 0]).save("one.png")
        Image.fromarray(x[0, :9, :10, 0]).save("small.png")
        done = invoke("predict", "run", "one.png", "small.png", archives[task], "--output", "out", "--format", "json")
        assert done.exit_code == 0, done.output
        rows = json.loads(done.output)["predictions"]
        assert [row["prediction"] for row in rows][:3] == ["out/one.png", "out/small.png", f"out/{task}-0.png"]
        with Image.open("out/small.png") as image:
            assert image.size == (10, 9)
            assert image.mode == ("P" if task == "segmentation" else "L")
        done = invoke("predict", "run", "one.png", "--output", "out")
        assert (done.exit_code, "must be empty" in done.output) == (2, True)
        os.mkdir("in")
        for size in (6, 7, 8):  # of different sizes, so that each is written before the next is read
            Image.fromarray(x[0, :size, :size, 0]).save(f"in/{size}.png")
        done = invoke("predict", "run", "in", "--output", "in/out", "--format", "json")
        assert [row["file"] for row in json.loads(done.output)["predictions"]] == ["in/6.png", "in/7.png", "in/8.png"]
    else:
        done = invoke("predict", "run", archives[task], "--format", "csv")
        assert done.exit_code == 0, done.output
        rows = list(csv.DictReader(io.StringIO(done.output)))
        x = np.load(archives[task])["x_test"]
        expected = folder.load_model(compile=False).predict(x, verbose=0)
        np.testing.assert_allclose([[float(row["one"]), float(row["two"])] for row in rows], expected, rtol=1e-4)
        assert "one" in invoke("predict", "run", archives[task]).output
        assert invoke("predict", "run", archives[task], "--output", "out").exit_code == 2
    assert inference.load(folder.model).task == task
    for command in (("explain", "run"), ("stability", "run", "--attack"), ("evaluate", "run", "--flipped")):
        done = invoke(*command)
        assert (done.exit_code, done.output.count("\n")) == (2, 1), done.output
        assert f"task={task!r}" in done.output


def test_describe_and_a_wrong_degradation(tmp_path):
    done = invoke("describe", "--recipe", "segmentation", "--sizes", 32, "--classes", 2, "--architecture", "parabolic")
    assert done.exit_code == 0, done.output
    assert "32 x 32" in done.output
    for wrong in (("--degradation", "noise:25"), ("--task", "segmentation", "--degradation", "half")):
        done = invoke("train", "digits", *wrong, "--output", tmp_path / "run")
        assert (done.exit_code, done.output.count("\n")) == (2, 1), done.output
        assert "degradation is for restoration" in done.output


@pytest.mark.slow
@pytest.mark.parametrize("task", OTHERS)
def test_export(task, archives, tmp_path, eager):
    options = ("--task", task, *SMALL, "--output", tmp_path / "run")
    assert invoke("train", archives[task], *options).exit_code == 0
    tf.config.run_functions_eagerly(False)
    done = invoke("export", tmp_path / "run")
    assert done.exit_code == 0, done.output
    serve = tf.saved_model.load(str(tmp_path / "run" / "savedmodel" / "1")).signatures["serving_default"]
    x = np.load(archives[task])["x_test"].astype(np.float32)
    outputs = serve(image=tf.constant(x))
    expected = RunFolder(tmp_path / "run").load_model(compile=False).predict(x, verbose=0)
    if task == "segmentation":
        np.testing.assert_allclose(outputs["probabilities"], expected, atol=1e-4)
        assert outputs["class"].shape == x.shape[:-1]
    else:
        np.testing.assert_allclose(outputs["values"], expected, atol=1e-3)
    names = [inference.load(tmp_path / folder).class_names for folder in ("run", "run/savedmodel")]
    assert names[0] == names[1] == (("0",) if task == "restoration" else ("one", "two"))


@pytest.mark.slow
@pytest.mark.parametrize("task", ["regression", "segmentation"])
def test_tune(task, archives, tmp_path, eager):
    options = ("--widths", "4,4", "--architecture", "parabolic", "--batch-size", 8, "--trial-epochs", 1, "--epochs", 1)
    done = invoke("tune", archives[task], "--task", task, *options, "--trials", 2, "--output", tmp_path, "--verbose", 0)
    assert done.exit_code == 0, done.output
    assert f"validation {TASKS[task].monitor_title}" in done.output
