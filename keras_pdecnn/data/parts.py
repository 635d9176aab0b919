"""The training, validation and test parts of a data set: their targets, their rows and their examples."""

from __future__ import annotations

import math

import numpy as np

from keras_pdecnn.data import checks
from keras_pdecnn.data.sources import Raw
from keras_pdecnn.data.splits import stratified_split
from keras_pdecnn.data.stored import Stored
from keras_pdecnn.tasks import Degradation, Targets, Task
from keras_pdecnn.tasks.task import check_names

_BEYOND = 1.5  # largest value of floating-point images with white at 1: resampling may exceed white a little


def check_alike(x_train: np.ndarray | Stored, x: np.ndarray | Stored, part: str, where: str):
    """Refuse examples of a part that have another shape or type than those for training."""
    if x_train.shape[1:] != x.shape[1:] or x_train.dtype != x.dtype:
        raise ValueError(
            f"{where}: training and {part} examples must have one shape and type. Received: "
            f"{x_train.shape[1:]} {x_train.dtype} and {x.shape[1:]} {x.dtype}"
        )


def validation_of(raw: Raw, x_train):
    """Return the examples of the validation part of the source; None if it has none."""
    if raw.x_validation is None:
        return None
    x = checks.check_stored(raw.x_validation, f"{raw.where}: x_validation")
    check_alike(x_train, x, "validation", raw.where)
    return x


def targets_of(task: Task, raw: Raw, examples: tuple, classes: int | None, degraded: bool) -> Targets:
    """Return the checked targets of all parts, of which the validation part may be missing."""
    x_train, x_test, x_held = examples
    parts: dict[str, tuple] = {"y_train": (raw.y_train, x_train), "y_test": (raw.y_test, x_test)}
    if x_held is not None:
        parts["y_validation"] = raw.y_validation, x_held
    if degraded:
        parts = {part: (x, x) for part, (_, x) in parts.items()}
    if not task.has_labels:
        shapes = {part: x.shape for part, (_, x) in parts.items()}
        if degraded:
            return task.check_targets({}, shapes, None, raw.where)
        return task.check_targets({part: y for part, (y, _) in parts.items()}, shapes, raw.class_names, raw.where)
    labels = {part: checks.check_labels(y, len(x), f"{raw.where}: {part}") for part, (y, x) in parts.items()}
    names = raw.class_names
    if names is not None:
        check_names(names, raw.where)  # first, as labels that are names cannot tell classes of one name apart
    if names is not None and classes not in (None, len(names)):
        raise ValueError(f"{raw.where} has {len(names)} classes. Received: classes={classes}")
    if classes is None:
        classes = raw.classes if names is None else len(names)
    held = labels.get("y_validation")
    count = checks.check_classes(labels["y_train"], labels["y_test"], classes, raw.where, held)
    return Targets(labels, count, tuple(map(str, range(count))) if names is None else tuple(names))


def rows_of(task: Task, where: str, targets: Targets, examples: tuple, validation: float) -> dict[str, np.ndarray]:
    """Return the rows of each part; without validation examples of their own, those are taken from the training."""
    x_train, x_test, x_held = examples
    rows = {"train": np.arange(len(x_train)), "validation": np.arange(0), "test": np.arange(len(x_test))}
    if x_held is not None:
        rows["validation"] = np.arange(len(x_held))
    elif validation:
        labels = targets.parts["y_train"] if task.has_labels else np.zeros(len(x_train), np.int64)
        rows["train"], rows["validation"] = stratified_split(
            labels, round(validation * len(labels)), f"{where}, validation={validation}"
        )
    return rows


def pixels_of(task: Task, worse: Degradation | None, max_value: float, patch: tuple[int, ...] | None):
    """Return what is done to targets of every pixel; None for a task with other targets."""
    if not task.of_pixels:
        return None
    from keras_pdecnn.data.pixels import Pixels

    return Pixels(task.partner == "masks", worse, max_value, patch)


def examples_of(parts: tuple, targets: Targets, rows: dict[str, np.ndarray], batch_size: int, drop_remainder, pixels):
    """Return the `pipeline.Examples` of each part by name; the validation part may be missing."""
    from keras_pdecnn.data.pipeline import Examples, as_stored, in_host_memory

    x_train, x_test, x_held = parts
    x, x_last = as_stored(x_train), as_stored(x_test)
    x_held = x if x_held is None else as_stored(x_held)
    arrays = [targets.parts.get(f"y_{part}") for part in ("train", "test", "validation")]
    y, y_last, y_held = (None if part is None else in_host_memory(part)[0] for part in arrays)
    places = dict(zip(rows, in_host_memory(*(np.asarray(part, np.int64) for part in rows.values())), strict=True))
    examples = {"train": Examples(x, y, places["train"], batch_size, drop_remainder, pixels)}
    if pixels is not None and pixels.patch is not None:  # whole images need more memory than patches
        batch_size = max(1, batch_size * math.prod(pixels.patch) // math.prod(x_train.shape[1:-1]))
    examples["test"] = Examples(x_last, y_last, places["test"], batch_size, pixels=pixels)
    if len(rows["validation"]):
        y_held = y if y_held is None else y_held
        examples["validation"] = Examples(x_held, y_held, places["validation"], batch_size, pixels=pixels)
    return examples


def white_of(task: Task, raw: Raw, x: np.ndarray | Stored, targets: Targets) -> float:
    """Return the value of white in images.

    It is the largest number of the integer type, and 1 for floating-point numbers. Images that are restored may use 10,
    12 or 14 bits of longer integers: white is then the smallest 2^k - 1 that no pixel exceeds, from 255 on.

    Args:
        task: The task.
        raw: What the source holds.
        x: Training examples.
        targets: Targets, which may be images, too.

    Raises:
        ValueError: If floating-point images that are restored have values far beyond 1.
    """
    if raw.max_value is not None:
        return raw.max_value
    white = float(np.iinfo(x.dtype).max) if x.dtype.kind in "ui" else 1.0
    if task.partner != "targets" or x.dtype == np.uint8:
        return white
    images = [part for part in (x, targets.parts.get("y_train")) if part is not None]
    batches = (batch for part in images for batch in (part.batches() if isinstance(part, Stored) else [part]))
    largest = max(max(abs(float(batch.min())), abs(float(batch.max()))) for batch in batches)
    if x.dtype.kind in "ui":
        return min(white, 2.0 ** max(8, int(largest).bit_length()) - 1)
    if largest > _BEYOND:
        raise ValueError(
            f"{raw.where}: floating-point images that are restored must have black at 0 and white at 1. Divide them by "
            f"the value of white, or make them integers. Received: values up to {largest:.6g}"
        )
    return white
