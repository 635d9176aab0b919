"""TensorFlow's SavedModel, in folders as TensorFlow Serving reads them."""

from __future__ import annotations

import pathlib
import tempfile

import keras
import numpy as np
import tensorflow as tf

from keras_pdecnn.export import network
from keras_pdecnn.export.decoding import decode
from keras_pdecnn.layers.plain import plain_operations

_NAMES = "classes.txt"


def savedmodel(model: keras.Model, path, class_names=None) -> pathlib.Path:
    """Export a classifier as a SavedModel, which TensorFlow runs without Keras and without this package.

    Signatures, for any number of examples:

    * `serving_default`: float32 `image` (or `signal`, `video`), raw values, shape (n, *space, channels).
    * `serving_bytes`, for images of 1 or 3 channels: `image_bytes`, n strings, the content of PNG, JPEG, GIF or BMP
      files; where the network has a fixed size they are resized, otherwise all must have one size.

    The weights are constants; to train on elsewhere, `keras.Model.export` keeps variables.

    Outputs: `probabilities` (n, classes), `class`, the index of the largest as int64, and `label`, its name.

    Args:
        model: A model of `models`, or another Keras model of one signal, image or video that returns one value per
            class; logits become probabilities.
        path: Folder of all versions; the model is written into path/1, path/2, …, the next number that is free.
        class_names: One name per class; default their numbers. They are an asset, assets/classes.txt, one per line.

    Returns:
        The path of the new version.

    Raises:
        ValueError: If the model is no such classifier, or class_names are not one line per class.

    Example:
        >>> network = keras_pdecnn.models.ParabolicCNN((8, 8, 1), classes=2, widths=(4,))
        >>> savedmodel(network, "animals", class_names=("cat", "dog"))  # doctest: +SKIP
        PosixPath('animals/1')
    """
    name = network.check_model(model)
    names = network.check_names(class_names, model)
    path = pathlib.Path(path).expanduser()
    call = _with_constants(network.named(model))
    spec = tf.TensorSpec((None, *model.input_shape[1:]), tf.float32, name=name)
    path.mkdir(parents=True, exist_ok=True)
    # A server that looks at the folder meanwhile sees no version.
    with tempfile.TemporaryDirectory(prefix=".part-", dir=path) as temporary:
        asset = pathlib.Path(temporary, _NAMES)
        asset.write_text("".join(f"{label}\n" for label in names), encoding="utf-8")
        lines = tf.lookup.TextFileInitializer(
            str(asset), tf.int64, tf.lookup.TextFileIndex.LINE_NUMBER, tf.string, tf.lookup.TextFileIndex.WHOLE_LINE
        )
        table = tf.lookup.StaticHashTable(lines, default_value="")

        @tf.function(input_signature=[spec], autograph=False)  # so that both signatures share the weights
        def serve(x):
            outputs = call(x)
            return {**outputs, network.LABEL: table.lookup(outputs[network.CLASS])}

        archive = keras.export.ExportArchive()
        archive.track(table)
        archive.add_endpoint("serving_default", serve, [spec])
        if name == "image" and model.input_shape[-1] in (1, 3):
            contents = tf.TensorSpec((None,), tf.string, name="image_bytes")
            archive.add_endpoint("serving_bytes", lambda data: serve(decode(data, model.input_shape[1:])), [contents])
        part = pathlib.Path(temporary, "model")
        with plain_operations(model):
            archive.write_out(str(part), verbose=False)
        return _publish(part, path)


def _with_constants(model: keras.Model):
    """Return the call of a model with its weights as constants.

    TensorFlow then prepares once what depends on them alone, such as the kernels of the adjoints: predictions take a
    tenth less time.
    """
    weights = [[v.numpy() for v in group] for group in (model.trainable_variables, model.non_trainable_variables)]

    def call(x):
        trainable, others = ([tf.constant(value) for value in group] for group in weights)
        return model.stateless_call(trainable, others, x, training=False)[0]

    return call


def _publish(part: pathlib.Path, path: pathlib.Path) -> pathlib.Path:
    """Move a complete model to the next free version of a folder; return its path."""
    number = max((int(child.name) for child in path.iterdir() if child.name.isdecimal()), default=0) + 1
    while True:
        target = path / str(number)
        try:
            return part.rename(target)  # fails where another export has just put its own
        except OSError:
            if not target.exists():
                raise
            number += 1


def load(path):
    """Load a SavedModel of `savedmodel`.

    A SavedModel is a program of TensorFlow, which can read and write files. Load it only from whom you trust.

    Args:
        path: Folder of one version.

    Returns:
        (shape, names, run): the shape (*space, channels) of an example, the names of the classes, and the function of
        a float32 array of examples to an array of probabilities.

    Raises:
        ValueError: If it cannot be read, or is not one of `savedmodel`.
    """
    try:
        loaded = tf.saved_model.load(str(path))
        serve = loaded.signatures["serving_default"]
        (spec,) = serve.structured_input_signature[1].values()
        names = pathlib.Path(path, "assets", _NAMES).read_text(encoding="utf-8").splitlines()
        classes = serve.structured_outputs[network.PROBABILITIES].shape[-1]
    except Exception as error:  # a damaged folder raises a dozen types
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise ValueError(f"Not an exported SavedModel that can be read ({reason}). Received: {str(path)!r}") from error
    if len(names) != classes or spec.name not in network.INPUTS.values():
        raise ValueError(
            f"Not a SavedModel of this package: {len(names)} names for {classes} classes, input {spec.name!r}. "
            f"Received: {str(path)!r}"
        )

    def run(x: np.ndarray) -> np.ndarray:
        # Not `serve` itself: a signature does not keep alive the variables of what was loaded.
        outputs = loaded.signatures["serving_default"](**{spec.name: tf.constant(x)})
        return outputs[network.PROBABILITIES].numpy()

    return tuple(spec.shape[1:]), tuple(names), run
