"""A model as every format exports it: with a named input and named outputs, in operations that can be exported."""

from __future__ import annotations

import contextlib
import pathlib
import tempfile

import keras

from keras_pdecnn.export import checks
from keras_pdecnn.layers.plain import plain_operations

PROBABILITIES, CLASS, LABEL = "probabilities", "class", "label"


class Outputs(keras.layers.Layer):
    """Names the outputs of a classifier: the probabilities, and the index of the largest one.

    Args:
        logits: Whether the classifier returns logits, whose softmax are the probabilities.
    """

    def __init__(self, logits: bool, **layer_kwargs):
        super().__init__(**layer_kwargs)
        self.logits = logits

    def call(self, y):
        if keras.backend.backend() != "tensorflow":
            probabilities = keras.ops.softmax(y) if self.logits else y
            return {PROBABILITIES: probabilities, CLASS: keras.ops.argmax(y, axis=-1)}
        import tensorflow as tf

        # Keras's argmax uses operations on bits, which LiteRT and ONNX lack.
        return {PROBABILITIES: tf.nn.softmax(y) if self.logits else y, CLASS: tf.argmax(y, axis=-1)}

    def compute_output_spec(self, y):
        return {PROBABILITIES: keras.KerasTensor(y.shape, y.dtype), CLASS: keras.KerasTensor(y.shape[:-1], "int64")}


@contextlib.contextmanager
def new_file(model: keras.Model, path: pathlib.Path):
    """Yield the model in float32 with names, and a temporary path to write it to, which is then renamed to path."""
    model = in_float32(model)
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".part-", dir=path.parent) as folder, plain_operations(model):
        part = pathlib.Path(folder, path.name)
        yield named(model), part
        part.rename(path)


def named(model: keras.Model) -> keras.Model:
    """Return the model with names for its input and its outputs."""
    inputs = keras.Input(model.input_shape[1:], name=checks.check_model(model), dtype="float32")
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
