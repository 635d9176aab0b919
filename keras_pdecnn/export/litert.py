"""Export to LiteRT, formerly TensorFlow Lite."""

from __future__ import annotations

import pathlib
import zipfile

import keras

from keras_pdecnn.export import checks, exportable, heads


def litert(model: keras.Model, path, class_names=None, outputs=None) -> pathlib.Path:
    """Export a network to LiteRT, in float32 and with LiteRT's built-in operations only.

    The signature `serving_default` has the input `image` (or `signal`, `video`) of raw float32 values and the outputs
    `probabilities` and `class`, or `values`. The class names are in a file classes.txt, one per line, which is attached
    as LiteRT's metadata are: `zipfile.ZipFile(path).read("classes.txt")`.

    Args:
        model: A network, see `savedmodel`; a model in mixed precision is exported as a copy in float32.
        path: Path of the file, which ends in .tflite and must not exist yet.
        class_names: One name per class; default None, the numbers of the classes.
        outputs: Kind of the outputs, "classes" or "values"; default None, see `savedmodel`.

    Returns:
        The path.

    Raises:
        ValueError: If the model cannot be exported (see `savedmodel`), the path exists, or the backend of Keras is not
            TensorFlow.

    Example:
        >>> model = keras_pdecnn.models.ParabolicCNN((8, 8, 1), classes=2, widths=(4,))
        >>> litert(model, "animals.tflite", class_names=("cat", "dog"))  # doctest: +SKIP
        PosixPath('animals.tflite')
    """
    checks.check_backend("A LiteRT file")
    import tensorflow as tf

    path = checks.check_vacant(path, ".tflite")
    checks.check_model(model)
    head = heads.head_of(model, class_names, outputs)
    with exportable.new_file(model, head, path) as (named, part):
        named.export(
            part,
            format="litert",
            verbose=False,
            # Keras would also allow operations of TensorFlow, which LiteRT alone does not have.
            target_spec={"supported_ops": [tf.lite.OpsSet.TFLITE_BUILTINS]},
        )
        if head.names is not None:
            with zipfile.ZipFile(part, "a") as archive:
                archive.writestr("classes.txt", "".join(f"{name}\n" for name in head.names))
    return path
