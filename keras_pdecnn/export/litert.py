"""Export to LiteRT, formerly TensorFlow Lite."""

from __future__ import annotations

import contextlib
import pathlib
import zipfile

import keras

from keras_pdecnn.export import checks, exportable, heads
from keras_pdecnn.export.precisions import check_precision


def litert(model: keras.Model, path, class_names=None, outputs=None, precision="float32") -> pathlib.Path:
    """Export a network to LiteRT, with LiteRT's built-in operations only.

    The signature `serving_default` has the input `image` (or `signal`, `video`) of raw float32 values and the outputs
    `probabilities` and `class`, or `values`. The names are in a file classes.txt, one per line, which is attached as
    LiteRT's metadata are: `zipfile.ZipFile(path).read("classes.txt")`.

    Args:
        model: A network, see `savedmodel`; a model in mixed precision is exported as a copy in float32.
        path: Path of the file, which ends in .tflite and must not exist yet.
        class_names: One name per class, or per value if outputs="values"; default None, the numbers of the classes, or
            no names of values.
        outputs: Kind of the outputs, "classes" or "values"; default None, see `savedmodel`.
        precision: Type in which the weights are stored: "float32" (default), "float16" for half the size, or "int8" for
            a quarter. Inputs and outputs are float32 in each; with "float16" everything is computed in float32, and
            with "int8" the products of convolutions and dense layers are those of integers.

    Returns:
        The path.

    Raises:
        ValueError: If the model cannot be exported (see `savedmodel`), the path exists, there is no such precision, the
            backend of Keras is not TensorFlow, or LiteRT cannot convert a network for images of any size, as is so with
            U-Nets.

    Example:
        >>> model = keras_pdecnn.models.ParabolicCNN((8, 8, 1), classes=2, widths=(4,))
        >>> litert(model, "animals.tflite", class_names=("cat", "dog"))  # doctest: +SKIP
        PosixPath('animals.tflite')
    """
    checks.check_backend("A LiteRT file")
    import tensorflow as tf

    path = checks.check_vacant(path, ".tflite")
    optimized = check_precision(precision, "litert") != "float32"
    # Keras would also allow operations of TensorFlow, which LiteRT alone does not have.
    target = {"supported_ops": [tf.lite.OpsSet.TFLITE_BUILTINS]}
    target |= {"supported_types": [tf.float16]} if precision == "float16" else {}
    checks.check_model(model)
    head = heads.head_of(model, class_names, outputs)
    with exportable.new_file(model, head, path) as (named, part):
        with _unknown_sizes_reported(model.input_shape):
            named.export(
                part,
                format="litert",
                verbose=False,
                optimizations=[tf.lite.Optimize.DEFAULT] if optimized else [],
                target_spec=target,
            )
        if head.names is not None:
            with zipfile.ZipFile(part, "a") as archive:
                archive.writestr("classes.txt", "".join(f"{name}\n" for name in head.names))
    return path


@contextlib.contextmanager
def _unknown_sizes_reported(shape):
    """Raise ValueError for what LiteRT's converter raises if the size of the examples is not known."""
    try:
        yield
    except Exception as error:  # the converter's own class is private
        if None not in shape[1:] or isinstance(error, OSError):
            raise
        raise ValueError(
            "LiteRT cannot convert this network for examples of any size: build it for one size, and copy the weights "
            f"with `set_weights`. Received: input_shape={shape[1:]}"
        ) from error
