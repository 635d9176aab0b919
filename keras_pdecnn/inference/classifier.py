"""Loading a network for predictions: from a run folder, a .keras file or an exported SavedModel."""

from __future__ import annotations

import dataclasses
import os
import pathlib
from collections.abc import Callable

import numpy as np

from keras_pdecnn.callbacks.weights import are_finite
from keras_pdecnn.inference.limits import batch_size, check_example_size
from keras_pdecnn.tasks import DEFAULT, TASKS
from keras_pdecnn.utils import files


@dataclasses.dataclass(frozen=True)
class Classifier:
    """A trained network, wherever it was loaded from.

    Args:
        input_shape: (*space, channels) of an example; space may be None.
        class_names: One name per class or other output.
        outputs: Function of raw examples, shape (n, *space, channels), to an array of shape (n, classes), or
            (n, *space, outputs) if every pixel has outputs.
        quantity: Kind of the outputs: "probability" (default), "score" of a network trained for least squares, or
            "value".
        sampling_rate: Samples per second of the .wav files that the network was trained on; default None, unknown.
        crop: Part of images that the network was trained on, see `data.load`; default None, whole images.
        task: Name of the task of the network; default "classification".
        max_value: Value of white in restored images; default 1.
        mask_colors: Colours of the classes of pixels, six hexadecimal digits each; default None, those of `plotting`.
    """

    input_shape: tuple[int | None, ...]
    class_names: tuple[str, ...]
    outputs: Callable[[np.ndarray], np.ndarray]
    quantity: str = "probability"
    sampling_rate: int | None = None
    crop: str | None = None
    task: str = DEFAULT
    max_value: float = 1.0
    mask_colors: tuple[str, ...] | None = None


def load(path) -> Classifier:
    """Load a trained network.

    Args:
        path: A run folder, a .keras file, or a SavedModel of `export.savedmodel`: either its folder, or the folder of
            its versions, of which the last one is taken. The classes of a .keras file are named by their numbers, and
            its last layers tell the task.

    Returns:
        A `Classifier`.

    Raises:
        ValueError: If the path does not exist, the network cannot be loaded safely, or it is not a network of
            signals, images or video with the channels last.
    """
    path = pathlib.Path(path).expanduser()
    files.check_exists("The model", path)
    is_folder = os.path.isdir(path)
    if is_folder and (version := _last_version(path)):
        classifier = _from_saved_model(version)
    elif is_folder:
        classifier = _from_run(path)
    elif path.suffix == ".keras":
        from keras_pdecnn.models.loading import load_model

        classifier = _from_model(load_model(path, compile=False), path)
    else:
        raise ValueError(f"A model is a run folder, a .keras file or a SavedModel. Received: {str(path)!r}")
    check_example_size(classifier.input_shape, path)
    return classifier


def _from_run(path: pathlib.Path) -> Classifier:
    from keras_pdecnn.runs import RunFolder

    folder = RunFolder(path)
    recipe, info = folder.read_config()
    classifier = _from_model(folder.load_model(compile=False), folder.model, recipe.task)
    first = len(info.input_shape) - 1 if TASKS[recipe.task].of_pixels else 0  # the size of such examples is free
    shapes = classifier.input_shape[first:], info.input_shape[first:]
    if (shapes[0], len(classifier.class_names)) != (shapes[1], len(info.class_names)):
        raise ValueError(
            f"{folder.config.name} and {folder.model.name} are of different networks: shape {info.input_shape}, "
            f"{len(info.class_names)} classes and shape {classifier.input_shape}, {len(classifier.class_names)} "
            f"classes. Received: {str(path)!r}"
        )
    quantity = TASKS[recipe.task].quantity if recipe.has_probabilities else "score"
    known = {"class_names": info.class_names, "sampling_rate": info.sampling_rate, "crop": info.crop}
    known |= {"max_value": info.max_value, "mask_colors": recipe.mask_colors}
    return dataclasses.replace(classifier, quantity=quantity, **known)


def _from_model(model, path, task: str | None = None) -> Classifier:
    from keras_pdecnn.export import checks, recognition

    shapes = model.input_shape, model.output_shape
    fits = all(isinstance(shape, tuple) for shape in shapes) and 3 <= len(shapes[0]) <= 5
    if not fits or len(shapes[1]) not in (2, len(shapes[0])):
        raise ValueError(
            "The model must take one signal, image or video and return one vector for it, or one for each pixel. "
            f"Received: {os.fspath(path)!r}, with shapes {shapes[0]} and {shapes[1]}"
        )
    if checks.has_channels_first(model):
        raise ValueError(
            f"{checks.CHANNELS_LAST} Received: {os.fspath(path)!r}, with shapes {shapes[0]} and {shapes[1]}"
        )
    if not are_finite(model):
        raise ValueError(f"The weights of the model are not finite. Received: {os.fspath(path)!r}")
    task = task or recognition.task_of(model)
    return Classifier(
        shapes[0][1:],
        tuple(map(str, range(shapes[1][-1]))),
        lambda x: model.predict(x, batch_size=batch_size(x.shape[1:]), verbose=0),
        TASKS[task].quantity,
        task=task,
        max_value=recognition.max_value(model),
    )


def _from_saved_model(path: pathlib.Path) -> Classifier:
    from keras_pdecnn.export import saved_model

    network = saved_model.load(path)

    def outputs(x):
        size = batch_size(x.shape[1:])
        parts = [network.run(x[first : first + size].astype(np.float32)) for first in range(0, len(x), size)]
        return np.concatenate(parts)

    return Classifier(
        network.shape,
        network.names,
        outputs,
        TASKS[network.task].quantity,
        sampling_rate=network.sampling_rate,
        crop=network.crop,
        task=network.task,
        max_value=network.max_value,
        mask_colors=network.mask_colors,
    )


def _last_version(path: pathlib.Path) -> pathlib.Path | None:
    """Return the folder of a SavedModel: the path itself, or the version in it with the largest number."""
    if (path / "saved_model.pb").is_file():
        return path
    versions = [child for child in path.iterdir() if child.name.isdecimal() and (child / "saved_model.pb").is_file()]
    return max(versions, key=lambda child: int(child.name), default=None)
