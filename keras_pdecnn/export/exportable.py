"""A model as every format exports it: with a named input and named outputs, in operations that can be exported."""

from __future__ import annotations

import contextlib
import pathlib
import tempfile

import keras

from keras_pdecnn.export import checks
from keras_pdecnn.export.heads import Classes, Values
from keras_pdecnn.layers.plain import plain_operations


@contextlib.contextmanager
def new_file(model: keras.Model, head: Classes | Values, path: pathlib.Path):
    """Yield the model in float32 with names, and a temporary path to write it to, which is then renamed to path."""
    model = in_float32(model)
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".part-", dir=path.parent) as folder, plain_operations(model):
        part = pathlib.Path(folder, path.name)
        yield named(model, head), part
        part.rename(path)


def named(model: keras.Model, head: Classes | Values) -> keras.Model:
    """Return the model with names for its input and its outputs."""
    inputs = keras.Input(model.input_shape[1:], name=checks.check_model(model), dtype="float32")
    return keras.Model(inputs, head.layer()(model(inputs)))


def in_float32(model: keras.Model) -> keras.Model:
    """Return a copy of the model that computes in float32 throughout."""

    def copy(layer):
        if isinstance(layer, keras.Model):
            return in_float32(layer)
        return type(layer).from_config({**layer.get_config(), "dtype": "float32"})

    clone = keras.models.clone_model(model, clone_function=copy)
    clone.set_weights(model.get_weights())
    return clone
