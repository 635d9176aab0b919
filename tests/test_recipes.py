"""Recipes: the paper's settings, the checks of every field, JSON."""

import dataclasses
import json
import pathlib

import pytest

from keras_pdecnn import models
from keras_pdecnn.recipes import RECIPES, Recipe, for_source


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
    assert for_source("cifar100:3.0.2") == dataclasses.replace(RECIPES["cifar100"], data="cifar100:3.0.2")
    other = for_source("somewhere/photos.npz")
    assert other.data == "somewhere/photos.npz"
    assert not other.flip
    assert for_source("photos.npz", "cifar10") == dataclasses.replace(RECIPES["cifar10"], data="photos.npz")
    with pytest.raises(ValueError, match="recipe='mnist'"):
        for_source("photos.npz", "mnist")


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
    "data_dir": ["", 3],
    "size": [0, -1, (), (8, 0), "8", 1.5],
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
    "seed": [-1, 2**32, 0.5, True, None],
    "architecture": ["transformer", None, 3],
    "widths": [(), 0, (16, 0), (16, 1.5), "16", None],
    "head_width": [0, 2.5],
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
    "dtype": ["float8", "mixed", None],
    "loss": ["hinge", None],
    "learning_rates": [(), (0.1, 0.02), 0, (0.1, -1, 0.1), ("0.1",)],
    "epochs": [(), (1, 1), 0, (1, 1, 0), (1.5,)],
    "momentum": [-0.1, 1, None],
}


def test_every_field_has_wrong_values():
    assert set(WRONG) == {field.name for field in dataclasses.fields(Recipe)}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in WRONG.items() for value in values])
def test_wrong_values(name, value):
    with pytest.raises(ValueError, match=f"Received: .*{name}"):
        Recipe(**{name: value})
