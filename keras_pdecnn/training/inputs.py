"""The data sets of recipes."""

from __future__ import annotations

import dataclasses
import os

import numpy as np

from keras_pdecnn import data
from keras_pdecnn.data.sources import absolute
from keras_pdecnn.recipes import Recipe
from keras_pdecnn.tasks import TASKS
from keras_pdecnn.utils import files

_OF_NETWORK = ("target_mean", "target_deviation", "max_value")  # properties of data that a network has learned with


def load_data(recipe: Recipe) -> data.Data:
    """Load the data set of a recipe, with its split and its augmentation.

    Args:
        recipe: Recipe with the settings of the data.

    Returns:
        A `data.Data`.

    Raises:
        ValueError: If the data do not exist, cannot be read, or do not suit the settings of the recipe.

    Example:
        >>> load_data(Recipe(batch_size=64)).info.classes
        10
    """
    names = [field.name for field in dataclasses.fields(data.Augmentation)]
    augmentation = data.Augmentation(**{name: getattr(recipe, name) for name in names})
    return data.load(
        recipe.data,
        recipe.batch_size,
        validation=recipe.validation,
        augmentation=None if augmentation == data.Augmentation() else augmentation,
        seed=recipe.seed,
        data_dir=recipe.data_dir,
        size=recipe.size,
        sampling_rate=recipe.sampling_rate,
        skip_unreadable=recipe.skip_unreadable,
        crop=recipe.crop,
        crop_area=recipe.crop_area,
        in_memory=recipe.in_memory,
        task=recipe.task,
        mask_colors=recipe.mask_colors,
        degradation=recipe.degradation,
        patch=recipe.patch,
        patches=recipe.patches,
        drop_remainder=recipe.drop_remainder,
    )


def located(recipe: Recipe) -> Recipe:
    """Return a recipe whose paths are absolute, as a run keeps it: it is read in any working directory.

    Args:
        recipe: Recipe of a run.

    Example:
        >>> located(Recipe(data="/data/photos/")).data, located(Recipe(data="cifar10")).data
        ('/data/photos', 'cifar10')
    """
    folder = recipe.data_dir
    if folder is not None and "://" not in folder:  # TensorFlow Datasets also reads from gs://…
        folder = os.path.abspath(os.path.expanduser(folder))
    return dataclasses.replace(recipe, data=absolute(recipe.data), data_dir=folder)


def check_present(recipe: Recipe):
    """Raise ValueError if there is nothing any more at the path of the data of a run.

    Args:
        recipe: Recipe of the run.
    """
    if files.is_missing(recipe.data):
        raise ValueError(
            "The data set of the run is no longer at its path. Name its new one: as DATASET of train --resume, with "
            f"--data of evaluate and stability, or as `source` of `load_like`. Received: data={recipe.data!r}"
        )


def load_like(recipe: Recipe, info: data.Info, source: str | None = None) -> data.Data:
    """Load a data set for a network that was trained by `recipe` on a data set described by `info`.

    Args:
        recipe: Recipe of the network.
        info: Properties of the data set that the network was trained on.
        source: Source of another data set; default None, the data set of the recipe. Images and sounds in a folder are
            brought to the size of the network's examples.

    Returns:
        A `data.Data`.

    Raises:
        ValueError: If the data do not exist or cannot be read, or their shape or classes are not those of the network.

    Example:
        >>> digits = load_data(Recipe())
        >>> load_like(Recipe(), digits.info).info.sizes["test"]
        360
    """
    task = TASKS[recipe.task]
    if source is None:
        check_present(recipe)
    elif absolute(source) != absolute(recipe.data):
        path = os.path.expanduser(source)
        of_files = os.path.isdir(path) or path.lower().endswith(".csv")
        size = recipe.size if task.of_pixels else info.input_shape[:-1]
        recipe = dataclasses.replace(
            recipe,
            data=source,
            size=size if of_files else None,
            sampling_rate=info.sampling_rate if of_files else None,
            crop=info.crop if of_files else None,
            # Only the test part is needed, and there may be too few examples for others.
            validation=0.0,
            drop_remainder=False,
            patch=None,
            in_memory=None,
        )
    loaded = load_data(recipe)
    first = len(info.input_shape) - 1 if task.of_pixels else 0  # networks of pixels take examples of any size
    expected, received = ((i.input_shape[first:], i.classes) for i in (info, loaded.info))
    if expected != received and not task.has_labels:
        raise ValueError(
            f"The network takes examples of shape {info.input_shape} and has {info.classes} outputs. "
            f"Received: {recipe.data!r} with shape {loaded.info.input_shape} and {loaded.info.classes} outputs"
        )
    if expected != received:
        raise ValueError(
            f"The network takes examples of shape {expected[0]} and {expected[1]} classes. "
            f"Received: {recipe.data!r} with shape {received[0]} and {received[1]} classes"
        )
    numbers = tuple(map(str, range(info.classes)))
    if len({numbers, info.class_names, loaded.info.class_names}) > 2:
        raise ValueError(
            f"The network knows the classes {', '.join(info.class_names)}. "
            f"Received: {recipe.data!r} with the classes {', '.join(loaded.info.class_names)}"
        )
    return dataclasses.replace(
        loaded, info=dataclasses.replace(loaded.info, **{name: getattr(info, name) for name in _OF_NETWORK})
    )


def spread(dataset, size: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return examples at equal distances in a dataset, which are of all classes even if it is sorted by class.

    Args:
        dataset: A tf.data.Dataset of batches (x, label).
        size: Number of examples in the dataset.
        count: Number of examples to return; all of them, if there are fewer.

    Returns:
        (x, labels), of shapes (count, *space, channels) and (count,).

    Example:
        >>> digits = load_data(Recipe())
        >>> x, labels = spread(digits.test, digits.info.sizes["test"], count=12)
        >>> x.shape, labels.shape
        ((12, 8, 8, 1), (12,))
    """
    wanted = set(np.linspace(0, size - 1, min(count, size)).round().astype(int).tolist())
    first = 0
    x: list = []
    labels: list = []
    for batch, y in dataset:
        rows = [index - first for index in sorted(wanted) if first <= index < first + len(y)]
        x.extend(np.asarray(batch)[rows])
        labels.extend(np.asarray(y)[rows])
        first += len(y)
    return np.stack(x), np.array(labels)
