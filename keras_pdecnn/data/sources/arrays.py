"""Data that are in the program already: arrays, datasets of tf.data, and PyDatasets of Keras."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from keras_pdecnn.data.checks import check_examples
from keras_pdecnn.data.memory import check_memory, is_held, refuse_streaming
from keras_pdecnn.data.sources.channels import check_channels
from keras_pdecnn.data.sources.raw import Raw, divided, in_two_parts
from keras_pdecnn.data.stored import Rows
from keras_pdecnn.tasks import DEFAULT, TASKS, Task
from keras_pdecnn.utils import arguments

_NAME = "arrays"
_FORMS = "(x, y), a tf.data.Dataset or a keras.utils.PyDataset"


def is_arrays(source) -> bool:
    """Return whether a source is data that are in the program already, not the name or path of data."""
    return isinstance(source, tuple) or _is_dataset(source)


def read(source, in_memory: bool | None = None, task: Task | None = TASKS[DEFAULT]) -> Raw:
    """Return the examples of one part, of which a fifth becomes the test part, or of a pair of parts (train, test).

    A part is a pair of arrays `(x, y)`, or a dataset of batches `(x, y)`, which is read once, in its order.

    Args:
        source: One part or two.
        in_memory: Whether arrays are copied into the memory of TensorFlow; False for taking rows from the arrays
            themselves, which may be memory maps of NumPy. Default None, copied up to `memory.STREAMING_LIMIT`.
        task: What the targets are for; default a classification, None if they are not used.
    """
    parts = _parts(source)
    if any(map(_is_dataset, parts)):
        refuse_streaming(in_memory, _describe(source), "A dataset is read into memory; arrays can be streamed.")
    examples = [_examples(part) for part in parts]
    if not any(map(_is_dataset, parts)):
        needed = sum(getattr(x, "nbytes", 0) for x, _ in examples)
        if not is_held(needed, _describe(source), in_memory):
            what = f"{_describe(source)}: x"
            examples = [(Rows(check_examples(x, what)), y) for x, y in examples]
    joined = [array for pair in examples for array in pair]
    divide = functools.partial(divided if len(parts) == 1 else in_two_parts, task=task)
    return divide(_NAME, _describe(source), *joined)


def _parts(source) -> list:
    """Return the one part, or the two parts (train, test), of a source."""
    if _is_dataset(source):
        return [source]
    if len(source) != 2:
        raise ValueError(f"Arrays must be {_FORMS}, or a pair (train, test) of these. Received: {_describe(source)}")
    if all(_is_dataset(entry) or (isinstance(entry, tuple) and len(entry) == 2) for entry in source):
        return list(source)
    if any(map(_is_dataset, source)):
        raise ValueError(f"Each part of (train, test) must be {_FORMS}. Received: {_describe(source)}")
    return [source]


def _describe(source) -> str:
    return f"source={arguments.describe(source)}"


def _is_dataset(source) -> bool:
    return _is_tf_dataset(source) or _is_py_dataset(source)


def _is_tf_dataset(source) -> bool:
    import tensorflow as tf

    return isinstance(source, tf.data.Dataset)


def _is_py_dataset(source) -> bool:
    import keras

    return isinstance(source, keras.utils.PyDataset)


def _examples(part) -> tuple[Any, Any]:
    """Return (x, y) of a pair of arrays, or of all batches of a dataset."""
    if isinstance(part, tuple):
        x, y = part
    else:
        x, y = _joined(_tf_batches(part) if _is_tf_dataset(part) else _py_batches(part), _describe(part))
    if hasattr(x, "shape"):
        check_channels(tuple(x.shape), f"Received: {_describe(part)} with x of shape")
    return x, y


def _tf_batches(dataset):
    """Yield the batches of a dataset of tf.data; examples that are not in batches are batches of one."""
    import tensorflow as tf

    spec = dataset.element_spec
    if not (isinstance(spec, tuple) and len(spec) == 2 and all(isinstance(entry, tf.TensorSpec) for entry in spec)):
        raise ValueError(f"A dataset must yield pairs (x, y) of arrays. Received: {_describe(dataset)} with {spec}")
    if dataset.cardinality() == tf.data.INFINITE_CARDINALITY:
        raise ValueError(f"A dataset must end; this one repeats for ever. Received: {_describe(dataset)}")
    is_batched = spec[1].shape.rank != 0
    for x, y in dataset.as_numpy_iterator():
        yield (x, y) if is_batched else (x[np.newaxis], np.asarray(y)[np.newaxis])


def _py_batches(dataset):
    """Yield the batches of a PyDataset."""
    if dataset.num_batches is None:
        raise ValueError(f"A dataset must end; this one has no length. Received: {_describe(dataset)}")
    for index in range(dataset.num_batches):
        batch = dataset[index]
        if not (isinstance(batch, tuple | list) and len(batch) == 2):
            raise ValueError(
                "A dataset must yield pairs (x, y) of arrays. Received: "
                f"{_describe(dataset)}, batch {index} of type {type(batch).__name__}"
            )
        yield np.asarray(batch[0]), np.asarray(batch[1])


def _joined(batches, where: str) -> tuple[np.ndarray, np.ndarray]:
    x_all: list[np.ndarray] = []
    y_all: list[np.ndarray] = []
    needed = 0
    for x, y in batches:
        if x_all and x.shape[1:] != x_all[0].shape[1:]:
            raise ValueError(
                "All examples of a dataset must have one shape. Received: "
                f"{where} with {x_all[0].shape[1:]} and {x.shape[1:]}"
            )
        if len(y) != len(x):
            raise ValueError(
                f"Each batch of a dataset must have one label per example. Received: {where} with a batch of "
                f"{len(x)} examples and {len(y)} labels"
            )
        needed += x.nbytes
        check_memory(needed, where)
        x_all.append(x)
        y_all.append(y)
    if not x_all:
        raise ValueError(f"A dataset must not be empty. Received: {where}")
    return np.concatenate(x_all), np.concatenate(y_all)
