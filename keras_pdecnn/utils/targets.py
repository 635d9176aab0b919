"""Targets in the shape of the outputs of a network, so that losses and metrics compare them entry by entry."""

from __future__ import annotations

from keras import ops


def of_classes(y_true, y_pred):
    """Return targets in the shape and the type of outputs for classes; integer labels become unit vectors.

    Labels have one axis less than the outputs, or a last axis of a single entry, as those of `keras.datasets` have.

    Args:
        y_true: Tensor of targets or of labels.
        y_pred: Tensor of outputs, with the classes on the last axis.

    Raises:
        ValueError: If the targets have another shape.

    Example:
        >>> of_classes(keras.ops.array([[1]]), keras.ops.zeros((1, 3))).numpy().tolist()
        [[0.0, 1.0, 0.0]]
    """
    given = y_true.shape
    if len(y_true.shape) == len(y_pred.shape) and y_true.shape[-1] == 1 and y_pred.shape[-1] != 1:
        y_true = ops.squeeze(y_true, axis=-1)
    if len(y_true.shape) == len(y_pred.shape) - 1:
        y_true = ops.one_hot(ops.cast(y_true, "int32"), y_pred.shape[-1], dtype=y_pred.dtype)
    _check_shape(y_true.shape, y_pred.shape, given)
    return ops.cast(y_true, y_pred.dtype)


def of_numbers(y_true, y_pred):
    """Return targets in the shape and the type of outputs; those of a single channel may lack its axis.

    Args:
        y_true: Tensor of targets.
        y_pred: Tensor of outputs.

    Raises:
        ValueError: If the targets have another shape.

    Example:
        >>> of_numbers(keras.ops.ones((3,)), keras.ops.ones((3, 1))).shape
        TensorShape([3, 1])
    """
    given = y_true.shape
    if len(y_true.shape) == len(y_pred.shape) - 1 and y_pred.shape[-1] == 1:
        y_true = ops.expand_dims(y_true, axis=-1)
    _check_shape(y_true.shape, y_pred.shape, given)
    return ops.cast(y_true, y_pred.dtype)


def _check_shape(shape, expected, given):
    """Raise ValueError if two shapes differ, which would be broadcast silently. Sizes that are not known may differ."""
    pairs = zip(shape, expected, strict=False)
    if len(shape) != len(expected) or any(None not in pair and pair[0] != pair[1] for pair in pairs):
        raise ValueError(
            f"the targets must fit the outputs. Received: targets of shape {tuple(given)} for outputs of shape "
            f"{tuple(expected)}"
        )
