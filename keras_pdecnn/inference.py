"""Using a trained network on files."""

from __future__ import annotations

import os

import keras
import numpy as np

from keras_pdecnn import data
from keras_pdecnn.data.checks import check_examples

_KEYS = ("x", "x_test")


def read_examples(path, input_shape) -> np.ndarray:
    """Read the examples of a file.

    Args:
        path: An image file, or an .npz file with an array `x` or `x_test` of one example or several.
        input_shape: (*space, channels) of an example.

    Returns:
        Raw examples, shape (n, *space, channels).

    Raises:
        ValueError: If the file cannot be read, or its examples have another shape or values that are not finite.
    """
    if not os.fspath(path).lower().endswith(".npz"):
        return data.read_image(path, input_shape)[None]
    try:
        with np.load(path, allow_pickle=False) as archive:
            key = next((key for key in _KEYS if key in archive.files), None)
            x = archive[key] if key else None
            names = archive.files
    except Exception as error:  # a damaged archive raises a dozen types
        raise ValueError(f"Not a readable .npz file ({error}). Received: {os.fspath(path)!r}") from error
    if x is None:
        raise ValueError(f"An .npz file must hold {' or '.join(_KEYS)}. Received: {', '.join(names) or 'no arrays'}")
    if x.shape == tuple(input_shape):
        x = x[None]
    if x.shape[1:] != tuple(input_shape):
        raise ValueError(f"Examples must have the shape {tuple(input_shape)}. Received: {key} of shape {x.shape}")
    return check_examples(x, key)


def example_names(path, count: int) -> list[str]:
    """Return names of the examples of a file: that of the file, with a number if there are several."""
    file = os.fspath(path)
    return [file] if count == 1 else [f"{file}[{index}]" for index in range(count)]


def classify(model: keras.Model, x) -> tuple[np.ndarray, np.ndarray]:
    """Return the class of the largest output for each example and that output, both of shape (n,).

    It is a probability, or the score of a network without softmax (`loss="regression"`), 1 for a perfect fit.
    """
    outputs = model.predict(x, verbose=0)
    best = outputs.argmax(axis=-1)
    return best, np.take_along_axis(outputs, best[:, None], axis=-1)[:, 0]
