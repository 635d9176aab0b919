"""What every format exports: a network with a named input and named outputs, in operations that can be exported."""

from __future__ import annotations

import contextlib
import os
import pathlib
import tempfile

import keras
import tensorflow as tf

from keras_pdecnn.layers.plain import plain_operations

INPUTS = {1: "signal", 2: "image", 3: "video"}
"""Name of the input by the number of space axes."""

PROBABILITIES, CLASS, LABEL = "probabilities", "class", "label"


class Outputs(keras.layers.Layer):
    """Name the outputs of a classifier: the probabilities, softmax of logits, and the index of the largest."""

    def __init__(self, logits: bool, **layer_kwargs):
        super().__init__(**layer_kwargs)
        self.logits = logits

    def call(self, y):
        # Keras's argmax looks at bits, for which LiteRT and ONNX have no operations.
        return {PROBABILITIES: tf.nn.softmax(y) if self.logits else y, CLASS: tf.argmax(y, axis=-1)}

    def compute_output_spec(self, y):
        return {PROBABILITIES: keras.KerasTensor(y.shape, y.dtype), CLASS: keras.KerasTensor(y.shape[:-1], "int64")}


def check_model(model: keras.Model) -> str:
    """Return the name of the input of a classifier of signals, images or video.

    Raises:
        ValueError: If it is none.
    """
    shapes = getattr(model, "input_shape", None), getattr(model, "output_shape", None)
    rank = len(shapes[0]) - 2 if isinstance(shapes[0], tuple) else None
    if rank not in INPUTS or not isinstance(shapes[1], tuple) or len(shapes[1]) != 2:
        raise ValueError(
            "Only models of one signal, image or video that return one value per class can be exported. "
            f"Received: a model of shapes {shapes[0]} and {shapes[1]}"
        )
    return INPUTS[rank]


def check_names(class_names, model: keras.Model) -> tuple[str, ...]:
    """Return one name per class; by default their numbers.

    Raises:
        ValueError: If there are more or fewer, or one is no line of text.
    """
    classes = model.output_shape[-1]
    names = tuple(map(str, range(classes))) if class_names is None else tuple(class_names)
    lines = all(isinstance(name, str) and name.splitlines() == [name] for name in names)
    if len(names) != classes or not lines:
        raise ValueError(
            f"class_names must be {classes} texts of one line, one per class. Received: class_names={names!r}"
        )
    return names


def check_vacant(path, suffix: str) -> pathlib.Path:
    """Return the path of a new file; raise ValueError if it has another suffix or is there already."""
    path = pathlib.Path(path).expanduser()
    if path.suffix != suffix:
        raise ValueError(f"The file of this format must end in {suffix}. Received: {str(path)!r}")
    if os.path.lexists(path):
        raise ValueError(f"The file of an export must not exist yet. Received: {str(path)!r}")
    return path


@contextlib.contextmanager
def new_file(model: keras.Model, path: pathlib.Path):
    """Yield (network, part): the model in float32 and exportable, and where to write it; then it is moved to path."""
    model = in_float32(model)
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".part-", dir=path.parent) as folder, plain_operations(model):
        part = pathlib.Path(folder, path.name)
        yield named(model), part
        part.rename(path)


def named(model: keras.Model) -> keras.Model:
    """Return the model with its input and its outputs named."""
    inputs = keras.Input(model.input_shape[1:], name=check_model(model), dtype="float32")
    return keras.Model(inputs, Outputs(_returns_logits(model))(model(inputs)))


def in_float32(model: keras.Model) -> keras.Model:
    """Return a copy of the model that computes in float32 throughout."""

    def copy(layer):
        if isinstance(layer, keras.Model):
            return in_float32(layer)
        return type(layer).from_config({**layer.get_config(), "dtype": "float32"})

    clone = keras.models.clone_model(model, clone_function=copy)
    clone.set_weights(model.get_weights())
    return clone


def _returns_logits(model: keras.Model) -> bool:
    return getattr(model.layers[-1], "activation", None) is keras.activations.linear
