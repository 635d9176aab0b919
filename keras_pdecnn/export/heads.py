"""What an exported network returns: probabilities of classes for each example or each pixel, or values as they are."""

from __future__ import annotations

import dataclasses

import keras

from keras_pdecnn.export import checks, recognition
from keras_pdecnn.tasks import DEFAULT
from keras_pdecnn.utils import arguments

PROBABILITIES, CLASS, LABEL, VALUES = "probabilities", "class", "label", "values"
OUTPUTS = ("classes", "values")


class ClassOutputs(keras.layers.Layer):
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


class ValueOutputs(keras.layers.Layer):
    """Names the output of a network that returns values as they are."""

    def call(self, y):
        return {VALUES: keras.ops.convert_to_tensor(y)}

    def compute_output_spec(self, y):
        return {VALUES: keras.KerasTensor(y.shape, y.dtype)}


@dataclasses.dataclass(frozen=True)
class Classes:
    """Classes of examples or of pixels.

    Args:
        names: Names of the classes.
        logits: Whether the network returns logits.
        of_pixels: Whether every pixel has a class.
    """

    names: tuple[str, ...]
    logits: bool
    of_pixels: bool

    def layer(self) -> keras.layers.Layer:
        """Return the layer that names the outputs."""
        return ClassOutputs(self.logits, dtype="float32")  # whatever the policy of Keras is

    def task(self, model) -> str:
        """Return the task of a model with these outputs."""
        return "segmentation" if self.of_pixels else DEFAULT


@dataclasses.dataclass(frozen=True)
class Values:
    """Values as the network returns them: a denoised image, or the numbers of a regression.

    Args:
        names: Names of the values; default None, no names.
    """

    names: tuple[str, ...] | None = None

    def layer(self) -> keras.layers.Layer:
        """Return the layer that names the output."""
        return ValueOutputs(dtype="float32")

    def task(self, model) -> str:
        """Return the task of a model with these outputs."""
        task = recognition.task_of(model)
        return "regression" if task == DEFAULT else task


def head_of(model: keras.Model, class_names, outputs: str | None) -> Classes | Values:
    """Return what a model returns.

    Args:
        model: The model, which has passed `check_model`.
        class_names: Names of the classes or values, or None.
        outputs: Kind of the outputs, "classes" or "values"; None for what the last layers tell, see `_has_classes`.

    Raises:
        ValueError: If there is not one name per class or value, or a single output should be classes.
    """
    arguments.check_choice("outputs", outputs, (None, *OUTPUTS))
    of_pixels = len(model.output_shape) > 2
    activation = getattr(model.layers[-1], "activation", None)
    if outputs is None:
        outputs = "classes" if _has_classes(model, activation, class_names is not None) else "values"
    if outputs == "values":
        return Values(None if class_names is None else checks.check_names(class_names, model))
    names = checks.check_names(class_names, model)
    if len(names) == 1:
        raise ValueError(
            "The largest of a single output tells nothing: export it as outputs='values'. "
            f"Received: outputs='classes', a model whose output has the shape {model.output_shape}"
        )
    return Classes(names, activation is keras.activations.linear, of_pixels)


def _has_classes(model: keras.Model, activation, is_named: bool) -> bool:
    """Return whether the outputs of a model exclude each other, so that the largest one tells the class.

    Sigmoids do not, nor does a single output, nor the numbers of a regression. All other vectors are classes, and
    outputs of pixels are if they have names or end with a softmax.
    """
    if model.output_shape[-1] == 1 or activation is keras.activations.sigmoid:
        return False
    if len(model.output_shape) > 2:
        return is_named or activation is keras.activations.softmax
    return recognition.task_of(model) == DEFAULT
