"""Padding to a size that can be halved several times, and cropping back: a U-Net then takes images of any size."""

from __future__ import annotations

import keras
from keras import ops

from keras_pdecnn.utils import arguments


@keras.saving.register_keras_serializable(package="keras_pdecnn")
class PadToMultiple(keras.layers.Layer):
    """Zeros at the end of every space axis, up to the next multiple of a number.

    (batch, *space, channels) -> (batch, *(multiple ceil(space / multiple)), channels)

    Args:
        multiple: Number that divides the sizes of the output.
        **layer_kwargs: name, dtype of `keras.layers.Layer`.

    Raises:
        ValueError: If `multiple` is not a positive integer, or the input has no space axis.

    Example:
        >>> PadToMultiple(4)(keras.ops.ones((1, 5, 8, 3))).shape
        TensorShape([1, 8, 8, 3])
    """

    def __init__(self, multiple, **layer_kwargs):
        super().__init__(**arguments.check_layer_kwargs(layer_kwargs))
        self.multiple = arguments.check_positive_integer("multiple", multiple)

    def build(self, input_shape):
        _check_features(self, input_shape)

    def call(self, y):
        # Remainders of numbers below 0 differ between formats of exported graphs.
        missing = [(self.multiple - n % self.multiple) % self.multiple for n in ops.shape(y)[1:-1]]
        return ops.pad(y, [(0, 0), *((0, count) for count in missing), (0, 0)])

    def compute_output_shape(self, input_shape):
        batch, *space, channels = input_shape
        return (batch, *(n and n + -n % self.multiple for n in space), channels)

    def lipschitz_bound(self, input_shape) -> float:
        """Return the l2 Lipschitz constant 1.

        Args:
            input_shape: Shape of the input; the bound is the same for every one.
        """
        return 1.0

    def get_config(self):
        return {**super().get_config(), "multiple": self.multiple}


@keras.saving.register_keras_serializable(package="keras_pdecnn")
class CropLike(keras.layers.Layer):
    """The first pixels of features, as many along every space axis as other features have.

    [(batch, *larger, channels), (batch, *space, others)] -> (batch, *space, channels)

    Args:
        **layer_kwargs: name, dtype of `keras.layers.Layer`.

    Raises:
        ValueError: If dtype is no floating type, or the input is not a pair of features with as many space axes.

    Example:
        >>> CropLike()([keras.ops.ones((1, 8, 8, 4)), keras.ops.ones((1, 5, 8, 3))]).shape
        TensorShape([1, 5, 8, 4])
    """

    def __init__(self, **layer_kwargs):
        super().__init__(**arguments.check_layer_kwargs(layer_kwargs))

    def build(self, input_shape):
        pair = isinstance(input_shape, list | tuple) and [len(s) for s in input_shape if isinstance(s, list | tuple)]
        if not pair or len(pair) != 2 or pair[0] != pair[1]:
            raise ValueError(
                f"{type(self).__name__} needs a pair of features with the same number of axes. "
                f"Received: input_shape={arguments.describe(input_shape)}"
            )
        _check_features(self, input_shape[0])

    def call(self, features):
        y, like = features
        return y[(slice(None), *(slice(0, n) for n in ops.shape(like)[1:-1]))]

    def compute_output_shape(self, input_shape):
        (batch, *_, channels), (_, *space, _) = input_shape
        return (batch, *space, channels)


def _check_features(layer: keras.layers.Layer, input_shape):
    """Raise ValueError if features have no space axis."""
    if len(input_shape) < 3:
        raise ValueError(
            f"{type(layer).__name__} needs features of shape (batch, *space, channels) with at least one space axis. "
            f"Received: input_shape={tuple(input_shape)}"
        )
