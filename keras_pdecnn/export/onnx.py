"""Export to ONNX, through tf2onnx."""

from __future__ import annotations

import importlib.util
import json
import pathlib
import warnings

import keras

from keras_pdecnn.export import checks, exportable, heads
from keras_pdecnn.export.precisions import check_precision

_NEEDED = ("tf2onnx", "onnx")


def onnx(model: keras.Model, path, class_names=None, outputs=None, precision="float32") -> pathlib.Path:
    """Export a network to ONNX, in float32; this needs the extra `keras-pdecnn[onnx]`.

    The graph has the input `image` (or `signal`, `video`) of raw float32 values and the outputs `probabilities` and
    `class`, or `values`. The names are the entry `class_names` of the metadata, a JSON list.

    Args:
        model: A network, see `savedmodel`; a model in mixed precision is exported as a copy in float32.
        path: Path of the file, which ends in .onnx and must not exist yet.
        class_names: One name per class, or per value if outputs="values"; default None, the numbers of the classes, or
            no names of values.
        outputs: Kind of the outputs, "classes" or "values"; default None, see `savedmodel`.
        precision: Default "float32", the only one that this format has.

    Returns:
        The path.

    Raises:
        ValueError: If the model cannot be exported (see `savedmodel`), the path exists, there is no such precision, the
            extra is missing, or the backend of Keras is not TensorFlow.

    Example:
        >>> model = keras_pdecnn.models.ParabolicCNN((8, 8, 1), classes=2, widths=(4,))
        >>> onnx(model, "animals.onnx", class_names=("cat", "dog"))  # doctest: +SKIP
        PosixPath('animals.onnx')
    """
    checks.check_backend("An ONNX file")
    path = checks.check_vacant(path, ".onnx")
    check_precision(precision, "onnx")
    name = checks.check_model(model)
    head = heads.head_of(model, class_names, outputs)
    missing = [module for module in _NEEDED if importlib.util.find_spec(module) is None]
    if missing:
        raise ValueError(f"Export to ONNX needs the extra keras-pdecnn[onnx]. Received: no module {', '.join(missing)}")
    import onnx as library

    with exportable.new_file(model, head, path) as (named, part), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # Keras gives NumPy back old names that tf2onnx needs
        spec = keras.InputSpec(shape=(None, *model.input_shape[1:]), dtype="float32", name=name)
        named.export(str(part), format="onnx", verbose=False, input_signature=[spec])
        if head.names is not None:
            graph = library.load(part)
            library.helper.set_model_props(graph, {"class_names": json.dumps(head.names)})
            library.save(graph, part)
    return path
