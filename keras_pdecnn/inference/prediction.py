"""Predicting the examples of files, in batches across files."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

import numpy as np

from keras_pdecnn.inference.classifier import Classifier
from keras_pdecnn.inference.examples import read_examples
from keras_pdecnn.inference.limits import batch_size
from keras_pdecnn.tasks import TASKS


@dataclasses.dataclass(frozen=True)
class Prediction:
    """The class that a network predicts for one example.

    Args:
        file: Path of the file, as it was given.
        index: Number of the example in its file; None if the file is one example.
        class_index: Number of the most probable class.
        label: Name of this class.
        output: Probability of this class, or its score.
    """

    file: str
    index: int | None
    class_index: int
    label: str
    output: float


@dataclasses.dataclass(frozen=True)
class Outputs:
    """What a network of another task predicts for one example.

    Args:
        file: Path of the file, as it was given.
        index: Number of the example in its file; None if the file is one example.
        values: Array of shape (outputs,), or (*space, outputs) if every pixel has outputs.
    """

    file: str
    index: int | None
    values: np.ndarray


@dataclasses.dataclass(frozen=True)
class Unreadable:
    """A file that could not be predicted.

    Args:
        file: Path of the file, as it was given.
        reason: Message that says why.
    """

    file: str
    reason: str


def predict(classifier: Classifier, files: Iterable, sampling_rate: int | None = None):
    """Yield a `Prediction` for each example, or an `Unreadable` for each file that cannot be predicted, in order.

    A network of another task than classification yields `Outputs` in place of predictions.

    Args:
        classifier: The network.
        files: Paths of files, see `read_examples`.
        sampling_rate: Samples per second of the sound that the model was trained on, see `read_examples`; default None,
            that of the classifier, if it is known.
    """
    sampling_rate = classifier.sampling_rate if sampling_rate is None else sampling_rate
    waiting: list[tuple[str, np.ndarray]] = []
    for file in files:
        try:
            x = read_examples(file, classifier.input_shape, sampling_rate, classifier.crop)
            x = _in_units(classifier, file, x)
        except ValueError as error:
            yield from _predict(classifier, waiting)
            waiting = []
            yield Unreadable(file, str(error))
            continue
        # Files of one example are predicted together, as long as they have the same shape and type.
        is_full = len(waiting) == batch_size(x.shape[1:])
        if waiting and (len(x) > 1 or is_full or _kind(x) != _kind(waiting[0][1])):
            yield from _predict(classifier, waiting)
            waiting = []
        waiting.append((file, x))
        if len(x) > 1:
            yield from _predict(classifier, waiting)
            waiting = []
    yield from _predict(classifier, waiting)


def _in_units(classifier: Classifier, file, x: np.ndarray) -> np.ndarray:
    """Return the examples of a file; pixels of an image to restore, whose white is 255, in the units of the network."""
    is_image = x.dtype == np.uint8 and not str(file).lower().endswith(".npz")
    if not (is_image and TASKS[classifier.task].improves_input) or classifier.max_value == 255:
        return x
    return x.astype(np.float32) * np.float32(classifier.max_value / 255)


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
        if file not in bad and not TASKS[classifier.task].has_labels:
            yield Outputs(file, index, p)
        elif file not in bad:
            yield Prediction(file, index, best, classifier.class_names[best], float(p[best]))
        elif not index:
            yield Unreadable(file, f"The network's output is not finite. Received: {file!r}")


def _kind(x: np.ndarray) -> tuple:
    return x.shape[1:], x.dtype
