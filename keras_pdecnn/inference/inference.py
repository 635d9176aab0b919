"""Using a trained network on files: a run, a .keras file or an exported SavedModel, on images, sound and arrays."""

from __future__ import annotations

import dataclasses
import math
import os
import pathlib
from collections.abc import Callable, Iterable, Iterator

import numpy as np

from keras_pdecnn import data
from keras_pdecnn.callbacks.weights import are_finite
from keras_pdecnn.data.audio import read_sound
from keras_pdecnn.data.checks import check_examples
from keras_pdecnn.data.images import SUFFIXES, measure_image
from keras_pdecnn.utils import archives

_KEYS = ("x", "x_test")
_BATCH = 64
_LARGEST_EXAMPLE = 2**24  # values; the features of a network are many times as large
_LARGEST_FILE = 2**30  # bytes of an array


@dataclasses.dataclass(frozen=True)
class Classifier:
    """A trained network, wherever it was loaded from.

    Args:
        input_shape: (*space, channels) of an example; space may be None.
        class_names: One name per class.
        outputs: Function of raw examples, shape (n, *space, channels), to an array of shape (n, classes).
        quantity: What the outputs are: "probability", or "score" of a network trained for least squares.
    """

    input_shape: tuple[int | None, ...]
    class_names: tuple[str, ...]
    outputs: Callable[[np.ndarray], np.ndarray]
    quantity: str = "probability"


@dataclasses.dataclass(frozen=True)
class Prediction:
    """What a network sees in one example.

    Args:
        file: Path of the file, as it was given.
        index: Number of the example in its file; None if the file is one example.
        class_index: Number of the most probable class.
        label: Its name.
        output: Its probability, or its score.
    """

    file: str
    index: int | None
    class_index: int
    label: str
    output: float


@dataclasses.dataclass(frozen=True)
class Unreadable:
    """A file that could not be predicted.

    Args:
        file: Path of the file, as it was given.
        reason: Why.
    """

    file: str
    reason: str


def load(path) -> Classifier:
    """Load a trained network.

    Args:
        path: A run folder, a .keras file, or a SavedModel of `export.savedmodel`: its folder or the one with its
            versions, of which the last is taken. The classes of a .keras file have no names but their numbers.

    Raises:
        ValueError: If there is no network that can be loaded safely, or it is no classifier of signals, images or
            video.
    """
    path = pathlib.Path(path).expanduser()
    is_folder = os.path.isdir(path)
    if is_folder and (found := _last_version(path)):
        classifier = _of_saved_model(found)
    elif is_folder:
        from keras_pdecnn.runs import RunFolder

        folder = RunFolder(path)
        recipe, info = folder.read_config()
        classifier = _of_model(folder.load_model(compile=False), folder.model)
        if (classifier.input_shape, len(classifier.class_names)) != (info.input_shape, len(info.class_names)):
            raise ValueError(
                f"{folder.config.name} and {folder.model.name} are of different networks: shape {info.input_shape}, "
                f"{len(info.class_names)} classes and shape {classifier.input_shape}, {len(classifier.class_names)} "
                f"classes. Received: {str(path)!r}"
            )
        quantity = "probability" if recipe.has_probabilities else "score"
        classifier = dataclasses.replace(classifier, class_names=info.class_names, quantity=quantity)
    elif path.suffix == ".keras":
        from keras_pdecnn.models.loading import load_model

        classifier = _of_model(load_model(path, compile=False), path)
    else:
        raise ValueError(f"A model is a run folder, a .keras file or a SavedModel. Received: {str(path)!r}")
    _check_example(classifier.input_shape, path)
    return classifier


def find(paths: Iterable) -> Iterator[str]:
    """Yield the files to predict: each path, or for a folder the images, sounds and arrays in it, in order of names.

    Names in it that start with a point are left out, as in data sets. A folder that has no such files or cannot be read
    is yielded itself: reading it as a file reports it.
    """
    for path in map(os.fspath, paths):
        if not os.path.isdir(path):
            yield path
            continue
        found = False
        unreadable: list[OSError] = []
        for folder, names, files in os.walk(path, onerror=unreadable.append):
            names[:] = sorted(name for name in names if not name.startswith("."))
            for file in sorted(files):
                if not file.startswith(".") and file.lower().endswith((*SUFFIXES, ".wav", ".npz")):
                    found = True
                    yield os.path.join(folder, file)
        yield from (error.filename for error in unreadable)
        if not found and not unreadable:
            yield path


def read_examples(path, input_shape, sampling_rate: int | None = None) -> np.ndarray:
    """Read the examples of a file.

    Args:
        path: An image file; a .wav file for a model of signals; or an .npz file with an array `x` or `x_test` of one
            example or several, which need no axis for their channel if the model takes one.
        input_shape: (*space, channels) of an example; where space is None the file decides.
        sampling_rate: Samples per second of what the model was trained on, for .wav files; default None, as they are.

    Returns:
        Raw examples, shape (n, *space, channels).

    Raises:
        ValueError: If the file cannot be read, or its examples have another shape or values that are not finite.
    """
    shape = tuple(input_shape)
    kind = os.path.splitext(path)[1].lower()
    if os.path.isdir(path):
        raise ValueError(
            f"The folder has no image, .wav or .npz file, or cannot be read. Received: {os.fspath(path)!r}"
        )
    if kind == ".npz":
        return _read_npz(path, shape)
    if kind == ".wav":
        if len(shape) != 2:
            raise ValueError(
                f"Sound is for models of signals, of shape (length, channels). Received: {os.fspath(path)!r}, for a "
                f"model of shape {shape}"
            )
        x = read_sound(path, shape, sampling_rate)
    else:
        if len(shape) != 3 or shape[-1] not in (1, 3):
            raise ValueError(
                "Images are for models of images, of shape (height, width, channels) with one or three channels. "
                f"Received: {os.fspath(path)!r}, for a model of shape {shape}"
            )
        if None in shape:
            shape = tuple(n or size for n, size in zip(shape, measure_image(path), strict=True))
            _check_example(shape, path)
        x = data.read_image(path, shape)
    _check_example(x.shape, path)
    return x[None]


def predict(classifier: Classifier, files: Iterable, sampling_rate: int | None = None):
    """Yield a `Prediction` for each example, or an `Unreadable` for each file that cannot be predicted, in order.

    Args:
        classifier: The network.
        files: Paths, see `read_examples`.
        sampling_rate: See `read_examples`.
    """
    waiting: list[tuple[str, np.ndarray]] = []
    for file in files:
        try:
            x = read_examples(file, classifier.input_shape, sampling_rate)
        except ValueError as error:
            yield from _predict(classifier, waiting)
            waiting = []
            yield Unreadable(file, str(error))
            continue
        # Files of one example are predicted together, as long as they have one shape and type.
        full = len(waiting) == _batch_size(x.shape[1:])
        if waiting and (len(x) > 1 or full or _kind(x) != _kind(waiting[0][1])):
            yield from _predict(classifier, waiting)
            waiting = []
        waiting.append((file, x))
        if len(x) > 1:
            yield from _predict(classifier, waiting)
            waiting = []
    yield from _predict(classifier, waiting)


def _predict(classifier: Classifier, waiting: list[tuple[str, np.ndarray]]):
    if not waiting:
        return
    x = np.concatenate([x for _, x in waiting]) if len(waiting) > 1 else waiting[0][1]
    outputs = classifier.outputs(x)
    places = [(file, index if len(x) > 1 else None) for file, x in waiting for index in range(len(x))]
    # A file is predicted as a whole or not at all.
    bad = {file for (file, _), p in zip(places, outputs, strict=True) if not np.isfinite(p).all()}
    for (file, index), p in zip(places, outputs, strict=True):
        best = int(p.argmax())
        if file not in bad:
            yield Prediction(file, index, best, classifier.class_names[best], float(p[best]))
        elif not index:
            yield Unreadable(file, f"The network's output is not finite. Received: {file!r}")


def _batch_size(shape) -> int:
    """Return how many examples are predicted at once: fewer of large ones."""
    return max(1, min(_BATCH, _LARGEST_EXAMPLE // math.prod(shape)))


def _kind(x: np.ndarray) -> tuple:
    return x.shape[1:], x.dtype


def _read_npz(path, shape) -> np.ndarray:
    path = os.fspath(path)
    headers = _of_archive(path, archives.read_headers)
    key = next((key for key in _KEYS if key in headers), None)
    if key is None:
        raise ValueError(
            f"An .npz file must hold {' or '.join(_KEYS)}. Received: {path!r} with {', '.join(headers) or 'no arrays'}"
        )
    found, dtype = headers[key]
    whole = _batch_shape(found, shape)
    if len(whole) != len(shape) + 1 or any(n not in (None, size) for n, size in zip(shape, whole[1:], strict=True)):
        raise ValueError(f"Examples must have the shape {shape}. Received: {path!r} with {key} of shape {found}")
    _check_example(whole[1:], path)
    if (needed := math.prod(found) * dtype.itemsize) > _LARGEST_FILE:
        raise ValueError(f"{key} has {needed:,} bytes, more than {_LARGEST_FILE:,}. Received: {path!r}")
    x = _of_archive(path, lambda archive: archives.read_array(archive, key))
    return check_examples(x.reshape(whole), f"{path}: {key}")


def _of_archive(path: str, read: Callable):
    try:
        with archives.open_archive(path) as archive:
            return read(archive)
    except Exception as error:  # a damaged archive raises a dozen types
        raise ValueError(f"Not a readable .npz file ({error}). Received: {path!r}") from error


def _batch_shape(found: tuple[int, ...], shape: tuple[int | None, ...]) -> tuple[int, ...]:
    """Return the shape of an array as one of examples; one example, and one channel, need no axis of their own."""

    def fits(given, wanted):
        return len(given) == len(wanted) and all(n in (None, m) for n, m in zip(wanted, given, strict=True))

    if shape[-1] == 1 and not fits(found[-len(shape) :], shape) and fits(found[1 - len(shape) :], shape[:-1]):
        found = (*found, 1)
    return (1, *found) if len(found) == len(shape) else found


def example_names(path, count: int) -> list[str]:
    """Return names of the examples of a file: that of the file, with a number if there are several."""
    file = os.fspath(path)
    return [file] if count == 1 else [f"{file}[{index}]" for index in range(count)]


def _check_example(shape, path):
    size = math.prod(n or 1 for n in shape)
    if size > _LARGEST_EXAMPLE:
        raise ValueError(
            f"An example may have {_LARGEST_EXAMPLE:,} values. Received: {os.fspath(path)!r}, of shape {tuple(shape)}"
        )


def _of_model(model, path) -> Classifier:
    shapes = model.input_shape, model.output_shape
    if not all(isinstance(shape, tuple) for shape in shapes) or not 3 <= len(shapes[0]) <= 5 or len(shapes[1]) != 2:
        raise ValueError(
            "The model must take one signal, image or video and return the probabilities of classes. "
            f"Received: {os.fspath(path)!r}, with shapes {shapes[0]} and {shapes[1]}"
        )
    if not are_finite(model):
        raise ValueError(f"The weights of the model are not finite. Received: {os.fspath(path)!r}")
    names = tuple(map(str, range(shapes[1][-1])))
    return Classifier(shapes[0][1:], names, lambda x: model.predict(x, batch_size=_batch_size(x.shape[1:]), verbose=0))


def _of_saved_model(path: pathlib.Path) -> Classifier:
    from keras_pdecnn.export import saved_model

    shape, names, run = saved_model.load(path)

    def probabilities(x):
        size = _batch_size(x.shape[1:])
        parts = [run(x[first : first + size].astype(np.float32)) for first in range(0, len(x), size)]
        return np.concatenate(parts)

    return Classifier(shape, names, probabilities)


def _last_version(path: pathlib.Path) -> pathlib.Path | None:
    """Return the folder of a SavedModel: the path itself, or in it the version with the largest number."""
    if (path / "saved_model.pb").is_file():
        return path
    versions = [child for child in path.iterdir() if child.name.isdecimal() and (child / "saved_model.pb").is_file()]
    return max(versions, key=lambda child: int(child.name), default=None)
