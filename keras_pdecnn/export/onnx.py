"""ONNX, through tf2onnx."""

from __future__ import annotations

import importlib.util
import json
import pathlib
import warnings

import keras

from keras_pdecnn.export import network

_NEEDED = ("tf2onnx", "onnx")


def onnx(model: keras.Model, path, class_names=None) -> pathlib.Path:
    """Export a classifier as ONNX, in float32; it needs the extra `keras-pdecnn[onnx]`.

    Input `image` (or `signal`, `video`) of raw float32 values, outputs `probabilities` and `class`. The class names are
    the entry `class_names` of the metadata, a JSON list.

    Args:
        model: See `savedmodel`; of a model in mixed precision a copy in float32 is exported.
        path: File that ends in .onnx; it must not exist yet.
        class_names: One name per class; default their numbers.

    Returns:
        The path.

    Raises:
        ValueError: If the model cannot be exported (see `savedmodel`), the path is taken, or the extra is missing.

    Example:
        >>> network = keras_pdecnn.models.ParabolicCNN((8, 8, 1), classes=2, widths=(4,))
        >>> onnx(network, "animals.onnx", class_names=("cat", "dog"))  # doctest: +SKIP
        PosixPath('animals.onnx')
    """
    path = network.check_vacant(path, ".onnx")
    name = network.check_model(model)
    names = network.check_names(class_names, model)
    missing = [module for module in _NEEDED if importlib.util.find_spec(module) is None]
    if missing:
        raise ValueError(f"ONNX needs keras-pdecnn[onnx]. Received: no module {', '.join(missing)}")
    import onnx as library

    with network.new_file(model, path) as (named, part), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # Keras asks NumPy for what tf2onnx needs of old versions
        spec = keras.InputSpec(shape=(None, *model.input_shape[1:]), dtype="float32", name=name)
        named.export(str(part), format="onnx", verbose=False, input_signature=[spec])
        graph = library.load(part)
        library.helper.set_model_props(graph, {"class_names": json.dumps(names)})
        library.save(graph, part)
    return path
