"""A model as every format exports it: with a named input and named outputs, in operations that can be exported."""

from __future__ import annotations

import contextlib
import pathlib
import tempfile

import keras

from keras_pdecnn.export import checks
from keras_pdecnn.export.heads import Classes, Values
from keras_pdecnn.layers.plain import plain_operations

_OTHERS = ("float16", "bfloat16", "float64", "mixed_float16", "mixed_bfloat16")  # quantised layers stay what they are


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
    """Return the model if it computes in float32 throughout, and otherwise a copy that does."""
    if all(map(_is_in_float32, model.layers)):
        return model

    def copy(layer):
        return in_float32(layer) if isinstance(layer, keras.Model) else _copy_in_float32(layer)

    clone = keras.models.clone_model(model, clone_function=copy)
    clone.set_weights(model.get_weights())
    return clone


def _copy_in_float32(layer: keras.layers.Layer) -> keras.layers.Layer:
    return type(layer).from_config(_config_in_float32(layer.get_config()))


def _is_in_float32(layer: keras.layers.Layer) -> bool:
    if isinstance(layer, keras.Model):
        return all(map(_is_in_float32, layer.layers))
    if layer.dtype_policy.name in _OTHERS:
        return False
    try:
        config = layer.get_config()
    except NotImplementedError:  # a layer of a user that cannot be saved
        return True
    return config == _config_in_float32(config)


def _config_in_float32(config):
    """Return a configuration in which every layer has the policy "float32", those inside couplings and wrappers too."""
    if isinstance(config, list | tuple):
        entries = [_config_in_float32(entry) for entry in config]
        return tuple(entries) if isinstance(config, tuple) else entries
    if not isinstance(config, dict):
        return config
    config = {key: _config_in_float32(value) for key, value in config.items()}
    return {**config, "dtype": "float32"} if _policy_name(config.get("dtype")) in _OTHERS else config


def _policy_name(dtype) -> str | None:
    """Return the name of a type or of a policy, which a configuration may hold in full."""
    settings = dtype.get("config") if isinstance(dtype, dict) else {"name": dtype}
    return settings.get("name") if isinstance(settings, dict) else None
