"""LiteRT, formerly TensorFlow Lite."""

from __future__ import annotations

import pathlib
import zipfile

import keras
import tensorflow as tf

from keras_pdecnn.export import network


def litert(model: keras.Model, path, class_names=None) -> pathlib.Path:
    """Export a classifier for LiteRT, in float32 and in LiteRT's own operations alone.

    The signature `serving_default` has the input `image` (or `signal`, `video`) of raw float32 values and the outputs
    `probabilities` and `class`. The class names are a file classes.txt inside, one per line, where LiteRT's metadata
    have such files: `zipfile.ZipFile(path).read("classes.txt")`.

    Args:
        model: See `savedmodel`; of a model in mixed precision a copy in float32 is exported.
        path: File that ends in .tflite; it must not exist yet.
        class_names: One name per class; default their numbers.

    Returns:
        The path.

    Raises:
        ValueError: If the model cannot be exported (see `savedmodel`), or the path is taken.

    Example:
        >>> network = keras_pdecnn.models.ParabolicCNN((8, 8, 1), classes=2, widths=(4,))
        >>> litert(network, "animals.tflite", class_names=("cat", "dog"))  # doctest: +SKIP
        PosixPath('animals.tflite')
    """
    path = network.check_vacant(path, ".tflite")
    network.check_model(model)
    names = network.check_names(class_names, model)
    with network.new_file(model, path) as (named, part):
        named.export(
            part,
            format="litert",
            verbose=False,
            # Keras would also allow operations of TensorFlow, which the plain runtime does not have.
            target_spec={"supported_ops": [tf.lite.OpsSet.TFLITE_BUILTINS]},
        )
        with zipfile.ZipFile(part, "a") as archive:
            archive.writestr("classes.txt", "".join(f"{name}\n" for name in names))
    return path
