"""Recipes: the paper's settings, the checks of every field, JSON."""

import dataclasses
import json
import pathlib

import numpy as np
import pytest

from keras_pdecnn import data, models
from keras_pdecnn.recipes import RECIPES, Recipe, for_source, phases


def test_the_architectures_are_those_of_the_models():
    for name in models.ARCHITECTURES:
        assert Recipe(architecture=name).architecture == name


@pytest.mark.parametrize(
    ("name", "widths", "head", "alphas", "rates", "epochs"),
    [
        ("stl10", (16, 32, 64, 128), 128, (4e-4, 1e-4), (0.1, 0.02, 0.004), (60, 20, 20)),
        ("cifar10", (32, 64, 112), 112, (2e-4, 2e-4), (0.1, 0.02, 0.004), (60, 20, 20)),
        ("cifar100", (32, 64, 128), 256, (2e-4, 2e-4), (0.1, 0.02, 0.004, 0.0008, 0.00016), (60, 40, 40, 40, 20)),
    ],
)
def test_the_papers_recipes(name, widths, head, alphas, rates, epochs):
    recipe = RECIPES[name]
    assert recipe.data == name
    assert (recipe.widths, recipe.head_width, recipe.steps, recipe.step_size) == (widths, head, 3, 1.0)
    assert (recipe.time_smoothness, recipe.weight_decay, recipe.box) == (*alphas, 1.0)
    assert (recipe.learning_rates, recipe.epochs, recipe.momentum) == (rates, epochs, 0.9)
    assert (recipe.batch_size, recipe.validation, recipe.flip, recipe.pad) == (125, 0.2, True, 1 / 16)


def test_the_recipe_of_a_source():
    assert for_source("digits") == RECIPES["digits"] == Recipe()
    assert for_source("moving_digits") == RECIPES["moving_digits"]
    assert for_source("cifar100:3.0.2") == dataclasses.replace(RECIPES["cifar100-own"], data="cifar100:3.0.2")
    other = for_source("somewhere/photos.npz")
    assert other.data == "somewhere/photos.npz"
    assert not other.flip
    assert for_source("photos.npz", "cifar10") == dataclasses.replace(RECIPES["cifar10"], data="photos.npz")
    with pytest.raises(ValueError, match="recipe='mnist'"):
        for_source("photos.npz", "mnist")


@pytest.mark.parametrize(
    ("shape", "name"),
    [
        ((2, 1000, 1), "speech"),
        ((2, 1000), "speech"),
        ((2, 999, 1), "cifar10"),  # too short to be halved so often
        ((2, 1000, 1000), "cifar10"),
        ((2, 1000, 8, 1), "cifar10"),
        ((2, 28, 28, 1), "gray"),
        ((2, 20, 40, 1), "gray"),
        ((2, 19, 28, 1), "cifar10"),  # too small to be halved three times
        ((2, 28, 41, 1), "cifar10"),
        ((2, 28, 28, 3), "cifar10"),
        ((2, 28, 28), "cifar10"),  # refused when it is loaded
        ((2, 16, 24, 24, 3), "moving_digits"),
    ],
    ids=str,
)
def test_the_recipe_of_a_file_depends_on_what_it_holds(tmp_path, shape, name):
    path = str(tmp_path / "arrays.npz")
    np.savez(path, x_train=np.zeros(shape, np.int8))
    expected = dataclasses.replace(RECIPES[name], data=path)
    assert (for_source(path).widths, for_source(path).time_shift) == (expected.widths, expected.time_shift)
    assert for_source(path, "speech") == dataclasses.replace(RECIPES["speech"], data=path)
    if name in ("speech", "gray", "moving_digits"):
        assert for_source(path, "own") == for_source(path) == expected


@pytest.mark.parametrize(
    ("name", "arrays", "layout", "expected"),
    [
        ("a.npz", "x", None, "speech"),
        ("a.NPZ", "x_train", None, "speech"),
        ("a.npz", "x", "signals", "speech"),
        ("a.npz", "x_train", "images", "gray"),
        ("a.npz", "x", "volumes", "moving_digits"),
    ],
)
def test_the_recipe_of_a_file_in_each_of_its_forms(tmp_path, name, arrays, layout, expected):
    path = str(tmp_path / name)
    shape = {None: (2, 1000, 1), "signals": (2, 1000), "images": (2, 28, 28), "volumes": (2, 9, 9, 9)}[layout]
    with open(path, "wb") as file:
        np.savez(file, **{arrays: np.zeros(shape, np.int8)}, **({} if layout is None else {"layout": layout}))
    assert for_source(path) == dataclasses.replace(RECIPES[expected], data=path)


@pytest.mark.parametrize("inner", ["", "train"])
def test_the_recipe_of_a_folder_of_sounds(tmp_path, inner):
    folder = tmp_path / inner / "yes"
    folder.mkdir(parents=True)
    assert for_source(str(tmp_path)).widths == RECIPES["cifar10"].widths
    (folder / "1.WAV").touch()
    assert for_source(str(tmp_path)) == dataclasses.replace(RECIPES["speech"], data=str(tmp_path))
    (tmp_path / "labels.csv").write_text("file,label\nyes/1.WAV,yes\n")
    assert for_source(str(tmp_path / "labels.csv")).widths == RECIPES["speech"].widths


def test_video_is_not_changed_at_random():
    """A mirror image of a video moves to the other side, and Augmentation rotates and zooms images alone."""
    recipe = RECIPES["moving_digits"]
    names = [field.name for field in dataclasses.fields(data.Augmentation)]
    assert data.Augmentation(**{name: getattr(recipe, name) for name in names}) == data.Augmentation()


def test_files_that_cannot_be_read_have_a_recipe_too(tmp_path):
    (tmp_path / "damaged.npz").write_bytes(b"PK")
    assert for_source(str(tmp_path / "damaged.npz")).widths == RECIPES["cifar10"].widths
    assert for_source("spoken_digit:1.0.9") == dataclasses.replace(RECIPES["speech"], data="spoken_digit:1.0.9")


def test_published_and_own_recipes():
    assert for_source("cifar10") == for_source("cifar10", "own") == RECIPES["cifar10-own"]
    assert for_source("cifar10:3.0.2", "published") == dataclasses.replace(RECIPES["cifar10"], data="cifar10:3.0.2")
    own = RECIPES["cifar10-own"]
    assert (own.widths, own.head_width, own.steps) == ((32, 64, 112), 112, 3)
    assert (own.schedule, own.warmup, own.learning_rates, own.epochs) == ("cosine", 0.1, (0.2,), (80,))
    for source, name in (("digits", "published"), ("svhn", "own"), ("photos.npz", "own")):
        with pytest.raises(ValueError, match=f"Received: recipe='{name}', data='{source}'"):
            for_source(source, name)


@pytest.mark.parametrize("name", ["cifar10", "cifar100", "stl10"])
def test_own_recipes_have_the_networks_of_the_paper(name):
    published, own = RECIPES[name], RECIPES[f"{name}-own"]
    assert for_source(name) == own
    kept = ("data", "widths", "head_width", "steps", "validation", "flip")
    assert [getattr(own, setting) for setting in kept] == [getattr(published, setting) for setting in kept]
    assert (own.label_smoothing, own.box, own.schedule) == (0.1, None, "cosine")


def test_sizes_follow_the_network():
    speech = RECIPES["speech"]
    assert for_source("spoken_digit", architecture="hamiltonian") == speech
    parabolic = for_source("spoken_digit", architecture="parabolic")
    assert parabolic == dataclasses.replace(speech, architecture="parabolic", widths=(24, 24, 32, 48))
    assert for_source("spoken_digit", architecture="second-order").widths == parabolic.widths
    residual = for_source("spoken_digit", architecture="residual")
    assert residual == dataclasses.replace(parabolic, architecture="residual", steps=1)
    assert for_source("cifar10", architecture="residual").widths == RECIPES["cifar10"].widths
    with pytest.raises(ValueError, match="architecture='transformer'"):
        for_source("digits", architecture="transformer")


def test_epochs_are_divided_over_the_phases():
    paper = RECIPES["cifar10"]
    for epochs, expected in ((5, (3, 1, 1)), (3, (1, 1, 1)), (100, (60, 20, 20)), (50, (30, 10, 10))):
        recipe = paper.with_settings(epochs=epochs)
        assert (recipe.epochs, recipe.learning_rates) == (expected, paper.learning_rates)
    assert paper.with_settings(epochs=(2,)).learning_rates == (0.1, 0.02)
    assert paper.with_settings(epochs=(1, 2, 3)).epochs == (1, 2, 3)
    assert paper.with_settings(epochs=7, learning_rates=0.3).epochs == (7,)
    assert RECIPES["cifar10-own"].with_settings(epochs=5).epochs == (5,)
    with pytest.raises(ValueError, match="Received: epochs=0"):
        paper.with_settings(epochs=0)


@pytest.mark.parametrize("phases_", [(60, 20, 20), (1, 50, 1, 1), (1, 1, 1)])
def test_every_number_of_epochs_can_be_divided(phases_):
    rates = tuple(range(len(phases_)))
    for total in range(1, 70):
        kept, epochs = phases.scaled(rates, phases_, total)
        assert sum(epochs) == total
        assert min(epochs) >= 1
        assert len(kept) == min(total, len(phases_))


def test_another_schedule_has_one_phase():
    recipe = Recipe().with_settings(schedule="one_cycle")
    assert (recipe.learning_rates, recipe.epochs) == ((0.05,), (32,))
    assert Recipe().with_settings(schedule="cosine", epochs=4, learning_rates=0.3).learning_rates == (0.3,)
    constant = RECIPES["cifar10-own"].with_settings(schedule="piecewise")
    assert (constant.warmup, constant.epochs) == (None, (80,))


def test_a_provable_recipe_has_no_normalisation_unless_it_is_given():
    assert Recipe().with_settings(provable=True).normalization is None
    assert Recipe().with_settings(provable=True, normalization="scale").normalization == "scale"


@pytest.mark.parametrize(
    ("settings", "received"),
    [
        ({"mixup": 0.2, "loss": "least_squares"}, "mixup=0.2, loss='least_squares'"),
        ({"cutmix": 1, "loss": "least_squares"}, "cutmix=1.0, loss='least_squares'"),
        ({"label_smoothing": 0.1, "loss": "least_squares"}, "label_smoothing=0.1, loss='least_squares'"),
        ({"optimizer": "adamw", "nesterov": True}, "nesterov=True, optimizer='adamw'"),
        ({"momentum": 0, "nesterov": True}, "nesterov=True, optimizer='sgd', momentum=0.0"),
        ({"schedule": "cosine"}, r"schedule='cosine', learning_rates=\(0.05, 0.01, 0.002\), epochs=\(20, 6, 6\)"),
        ({"warmup": 0.1}, "warmup=0.1, schedule='piecewise'"),
        ({"evaluate_flipped": True}, "evaluate_flipped=True, flip=False"),
        ({"loss": "margin"}, "loss='margin', provable=False"),
        ({"margin": 1}, "margin=1.0, loss='classification'"),
        ({"loss": "margin_hinge", "temperature": 1, "provable": True, "normalization": None}, "temperature=1.0, loss="),
        ({"orthogonal": True}, "orthogonal=True, provable=False"),
        (
            {"provable": True, "normalization": None, "architecture": "parabolic", "backprop": "reversible"},
            "provable=True, architecture='parabolic', backprop='reversible'",
        ),
    ],
)
def test_settings_that_make_no_sense_together(settings, received):
    with pytest.raises(ValueError, match=f"Received: {received}"):
        Recipe(**settings)


def test_values_are_normalised():
    recipe = Recipe(
        data=pathlib.Path("a.npz"), architecture="second-order", widths=[4, 8], steps=[1, 2], epochs=3, learning_rates=1
    )
    assert (recipe.data, recipe.architecture, recipe.widths, recipe.steps) == ("a.npz", "second_order", (4, 8), (1, 2))
    assert (recipe.epochs, recipe.learning_rates) == ((3,), (1.0,))


@pytest.mark.parametrize(
    "recipe",
    [
        *RECIPES.values(),
        Recipe(provable=True, lipschitz=1.5, normalization="shrinkage", step_size="auto"),
        Recipe(provable=True, normalization=None, orthogonal=True, step_size="per_filter", loss="margin", margin=0.5),
        Recipe(
            steps=(1, 2), size=(32, 48), normalization=None, time_basis="linear", basis_size=2, loss="least_squares"
        ),
    ],
)
def test_json_and_back(recipe):
    assert Recipe.from_dict(json.loads(json.dumps(recipe.to_dict()))) == recipe


def test_the_former_name_of_least_squares_is_read():
    recipe = Recipe(loss="least_squares")
    assert Recipe(loss="regression") == recipe == Recipe.from_dict({"loss": "regression"})
    assert recipe.to_dict()["loss"] == "least_squares"
    assert not recipe.has_probabilities
    assert Recipe().has_probabilities


@pytest.mark.parametrize(
    "settings",
    [{"width": 3}, [1], {"steps": 0}, None, {"provable": True, "normalization": None, "architecture": "residual"}],
)
def test_from_dict_checks(settings):
    with pytest.raises(ValueError, match="Received"):
        Recipe.from_dict(settings)


WRONG = {
    "data": ["", None, 3, b"digits"],
    "task": ["clustering", None, 3],
    "data_dir": ["", 3],
    "size": [0, -1, (), (8, 0), "8", 1.5],
    "crop": ["left", 3],
    "crop_area": [0, -0.1, 1.5, float("nan"), None],
    "mask_colors": [(), "red", 3, ("12345",)],
    "degradation": ["rain", "noise", 3, "noise:25"],  # the default is no restoration
    "patch": [0, -1, 1.5, (8, 0), "8", 8],
    "patches": [0, 1.5, None],
    "in_memory": [2, "yes"],
    "sampling_rate": [0, -1, 1.5, True, "8000"],
    "skip_unreadable": [2, "yes", None],
    "validation": [-0.1, 1.0, float("nan"), "0.1", None],
    "batch_size": [0, -1, 1.5, True, None],
    "drop_remainder": [2, "yes", None],
    "flip": [-1, "no"],
    "pad": [-0.1, 1, float("inf")],
    "rotate": [-1, 181, float("nan"), "10"],
    "zoom": [-0.1, 1, None],
    "time_shift": [-0.1, 1, None],
    "gain": [-0.1, float("inf"), "1"],
    "noise": [-1, float("nan"), None],
    "cutout": [-0.1, 1, None],
    "time_mask": [-0.1, 1, "a"],
    "frequency_mask": [-0.1, 1, None],
    "mixup": [-0.1, float("inf"), None],
    "cutmix": [-1, float("nan")],
    "rand_augment": [-1, 1.5, None, True],
    "rand_augment_magnitude": [-0.1, 1, None],
    "seed": [-1, 2**32, 0.5, True, None],
    "architecture": ["transformer", None, 3],
    "widths": [(), 0, (16, 0), (16, 1.5), "16", None],
    "head_width": [0, 2.5],
    "spectrogram": [0, 2.5, "mel"],
    "spectrogram_step": [0, 64],  # the default has no spectrogram
    "opening_kernel_size": [0, 4, (3, 2), "3", None],
    "opening_stride": [0, -1, 1.5, (2, 0), (), None],
    "opening_width": [0, 2.5],
    "dropout": [-0.1, 1, None],
    "steps": [0, -1, 1.5, (3,), (3, 3, 3), ()],
    "step_size": [0, -1.0, float("nan"), (1.0,), "1", "automatic", ("auto", "Auto")],
    "max_step_size": [0, float("inf"), (1.0,), "auto"],
    "time_basis": ["fourier", 3],
    "basis_size": [0, -1, 1.5, 2],
    "kernel_size": [2, 0, (3, 2), -3, "3"],
    "activation": ["rely", None, 3],
    "normalization": ["batch", 3],
    "padding": ["valid", None],
    "backprop": ["forward", 3],
    "time_smoothness": [-1e-4, float("inf"), None],
    "weight_decay": [-1e-4, float("nan")],
    "box": [0, -1],
    "synchronized": ["no", None],
    "provable": [2, None, True],  # the normalisation of the default has no proof
    "lipschitz": [0, -1, float("inf"), None],
    "orthogonal": [2, "yes", None],
    "margin": [0, -1, float("inf"), "1"],
    "temperature": [0, -1, float("inf"), "1"],
    "dtype": ["float8", "mixed", None],
    "loss": ["hinge", None],
    "learning_rates": [(), (0.1, 0.02), 0, (0.1, -1, 0.1), ("0.1",)],
    "epochs": [(), (1, 1), 0, (1, 1, 0), (1.5,)],
    "momentum": [-0.1, 1, None],
    "label_smoothing": [-0.1, 1, None],
    "optimizer": ["adam", None, 3],
    "nesterov": [2, "yes", None],
    "gradient_clip": [0, -1, float("inf"), "1"],
    "ema": [-0.1, 1, None],
    "recalibrate": ["no", None],
    "schedule": ["linear", None, "one_cycle"],  # the defaults have three phases
    "warmup": [-0.1, 1, "0.1", 0.1],  # the schedule of the default has none
    "evaluate_flipped": [2, None, True],  # the default is not trained with mirrored copies
    "refinement": ["3", "3:0", "3:1:1/3", 3, ()],
}


def test_every_field_has_wrong_values():
    assert set(WRONG) == {field.name for field in dataclasses.fields(Recipe)}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in WRONG.items() for value in values])
def test_wrong_values(name, value):
    with pytest.raises(ValueError, match=f"Received: .*{name}"):
        Recipe(**{name: value})
