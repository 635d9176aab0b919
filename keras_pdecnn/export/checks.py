"""Checks of what is exported, and where to."""

from __future__ import annotations

import os
import pathlib

import keras

from keras_pdecnn.utils import arguments, optional

INPUTS = {1: "signal", 2: "image", 3: "video"}
"""Name of the input by the number of space axes."""

CHANNELS_LAST = (
    "The channels must come last: build the network with data_format='channels_last' and give it the weights of the "
    "other one, by `weights=` or `set_weights`."
)
"""The message about networks with the channels first."""


def check_backend(what: str, backends: tuple[str, ...] = ("tensorflow",)):
    """Raise ValueError if a format is not written under the backend of Keras, ImportError without TensorFlow.

    Args:
        what: Name of the format, as in the message.
        backends: Names of the backends that write it; default TensorFlow alone.
    """
    backend = keras.backend.backend()
    if backend not in backends:
        raise ValueError(
            f"{what} is written under KERAS_BACKEND={' or '.join(backends)}, where a .keras file or a run folder of "
            f"every backend can be loaded. Received: KERAS_BACKEND={backend}"
        )
    optional.tensorflow(f"Export to {what}")


def check_model(model: keras.Model) -> str:
    """Return the name of the input of a model of signals, images or video with one output.

    Raises:
        ValueError: If the model is not such a model, whose output is one vector per example, or one per pixel; or if
            its channels come first.
    """
    shapes = getattr(model, "input_shape", None), getattr(model, "output_shape", None)
    rank = len(shapes[0]) - 2 if isinstance(shapes[0], tuple) else None
    if rank not in INPUTS or not isinstance(shapes[1], tuple) or len(shapes[1]) not in (2, rank + 2):
        raise ValueError(
            "Only models of one signal, image or video that return one vector, or one for each pixel, can be exported. "
            f"Received: a model of shapes {shapes[0]} and {shapes[1]}"
        )
    if has_channels_first(model):
        raise ValueError(f"{CHANNELS_LAST} Received: a model of shapes {shapes[0]} and {shapes[1]}")
    return INPUTS[rank]


def has_channels_first(model: keras.Model) -> bool:
    """Return whether a model has channels before the space axes: the networks of builders have a layer of that name."""
    return any(
        layer.name == "channels_last"
        or getattr(layer, "data_format", None) == "channels_first"
        or (isinstance(layer, keras.Model) and has_channels_first(layer))
        for layer in model.layers
    )


def check_names(class_names, model: keras.Model) -> tuple[str, ...]:
    """Return one name per class or value; without names their numbers.

    Raises:
        ValueError: If there are more or fewer names than classes or values, or a name is not a line of text.
    """
    classes = model.output_shape[-1]
    names = tuple(map(str, range(classes))) if class_names is None else tuple(class_names)
    if len(names) != classes or not all(map(arguments.is_line, names)):
        raise ValueError(
            f"class_names must be {classes} texts of one line, one per class or value. "
            f"Received: class_names={arguments.describe(names)}"
        )
    return names


def check_vacant(path, suffix: str) -> pathlib.Path:
    """Return the path of a new file; raise ValueError if it has another suffix or exists."""
    path = pathlib.Path(path).expanduser()
    if path.suffix != suffix:
        raise ValueError(f"The file of this format must end in {suffix}. Received: {str(path)!r}")
    if os.path.lexists(path):
        raise ValueError(f"The file of an export must not exist yet. Received: {str(path)!r}")
    return path
