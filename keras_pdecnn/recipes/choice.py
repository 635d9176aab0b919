"""The choice of a recipe for a data set and a network."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

from keras_pdecnn.networks import NETWORKS
from keras_pdecnn.recipes import checks
from keras_pdecnn.recipes.kinds import kind_of
from keras_pdecnn.recipes.named import RECIPES, SIZES
from keras_pdecnn.recipes.recipe import Recipe
from keras_pdecnn.tasks import check_task
from keras_pdecnn.utils import arguments

# The names of the recipes by data set.
_PUBLISHED = {"cifar10": "cifar10", "cifar100": "cifar100", "stl10": "stl10"}
_OWN = {
    "digits": "digits",
    "moving_digits": "moving_digits",
    "cifar10": "cifar10-own",
    "cifar100": "cifar100-own",
    "stl10": "stl10-own",
    "mnist": "gray",
    "fashion_mnist": "gray",
    "kmnist": "gray",
    "spoken_digit": "speech",
    "speech_commands": "speech",
}

# No mirroring: the mirror image of an unknown kind of example may belong to another class, as that of a letter does.
_OTHER = dataclasses.replace(RECIPES["cifar10"], validation=0.1, flip=False, head_width=None)


def for_source(
    source: str, recipe: str | None = None, architecture: str | None = None, task: str | None = None
) -> Recipe:
    """Return the recipe for a data set and a network.

    Args:
        source: Any source of `data.load`.
        recipe: Name in `RECIPES`; or "published" or "own", the one or the other recipe of `source`. Default None, our
            own recipe of `source` if there is one, or else the published one, or else "speech" for a folder of .wav
            files and for an .npz file of signals with at least 1,000 samples, "gray" for one of gray images with sides
            of 20 to 40 pixels, "moving_digits" for one of video or volumes, and that of CIFAR-10 without mirroring for
            everything else.
        architecture: Name of the network. Recipes of a limited number of weights have other widths and numbers of steps
            for networks that would have more than the Hamiltonian one. Default None, the network of the recipe.
        task: Name of the task; segmentation and restoration have a recipe of their own, and other tasks take the recipe
            of the data set without what does not suit them. Default None, the task of the recipe.

    Returns:
        A `Recipe` with `data=source`, and with `architecture` if it is given.

    Raises:
        ValueError: If `recipe` is not one of `RECIPES`, `source` has no such recipe, or is neither a name nor a path,
            or there is no such network.

    Example:
        >>> for_source("photos.npz", recipe="stl10").widths
        (16, 32, 64, 128)
        >>> for_source("cifar10", recipe="published").epochs, for_source("cifar10").epochs
        ((60, 20, 20), (80,))
        >>> for_source("spoken_digit").widths, for_source("spoken_digit", architecture="parabolic").widths
        ((32, 32, 48, 64), (24, 24, 32, 48))
    """
    source = checks.check_text("data", source)
    data_set = re.split("[/:]", source)[0]  # TensorFlow Datasets writes "name/config:version"
    own = _OWN.get(data_set) or kind_of(source)
    names = {"own": own, "published": _PUBLISHED.get(data_set), None: own or _PUBLISHED.get(data_set)}
    if recipe in ("published", "own") and names[recipe] is None:
        known = ", ".join(_OWN if recipe == "own" else _PUBLISHED)
        raise ValueError(f"Only {known} have a recipe of this kind. Received: recipe={recipe!r}, data={source!r}")
    task = None if task is None else check_task("task", task)
    name = (task if recipe is None and task in RECIPES else None) or names.get(recipe, recipe)
    settings: dict[str, Any] = {"data": source}
    if name is not None:
        arguments.check_choice("recipe", name, (*RECIPES, "published", "own"))
    if architecture is not None:
        architecture = checks.check_architecture("architecture", architecture)
        settings |= {"architecture": architecture, **_sizes(name, architecture)}
    chosen = dataclasses.replace(RECIPES[name] if name else _OTHER, **settings)
    return chosen if task is None else chosen.with_settings(task=task)


def _sizes(name: str | None, architecture: str) -> dict[str, Any]:
    """Return the settings that a recipe has for the size of a network."""
    sizes = SIZES.get(name or "", {})
    if not sizes or architecture == RECIPES[name or ""].architecture:
        return {}
    size = NETWORKS[architecture].relative_size
    return max(((least, settings) for least, settings in sizes.items() if least <= size), default=(0, {}))[1]
