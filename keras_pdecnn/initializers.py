"""Initial weights that are constant in time."""

from __future__ import annotations

import keras
from keras import ops

from keras_pdecnn.utils import arguments

__all__ = ["ConstantInTime"]


def draw(initializer, shape, dtype=None):
    """Return what an initializer draws; weights in half precision are drawn in float32 and rounded.

    TensorFlow has no QR decomposition, which "orthogonal" needs, in half precision.

    Raises:
        ValueError: If the initializer is for weights of other shapes.
    """
    dtype = keras.backend.standardize_dtype(dtype)
    try:
        drawn = initializer(shape, dtype="float32" if dtype in ("float16", "bfloat16") else dtype)
    except ValueError as error:
        raise ValueError(
            f"{initializer!r} does not suit this weight: {error} Received: shape={tuple(shape)}"
        ) from error
    return ops.cast(drawn, dtype)


@keras.saving.register_keras_serializable(package="keras_pdecnn")
class ConstantInTime(keras.initializers.Initializer):
    """Draw a kernel once per field and repeat it over the steps, so that theta starts constant in time.

    A weight of shape (steps, fields, *kernel_size, c, filters) is filled with `initializer` drawn for the shape
    (*kernel_size, c, filters): the leading axes are no part of the fan. Fields are drawn independently, also from an
    initializer with a fixed seed.

    Args:
        initializer: A Keras initializer, its name or its configuration; default "he_normal".

    Raises:
        ValueError: If `initializer` is none that Keras knows.

    Example:
        >>> ConstantInTime("he_normal")((4, 1, 3, 3, 8, 8)).shape
        TensorShape([4, 1, 3, 3, 8, 8])
    """

    def __init__(self, initializer="he_normal"):
        self.initializer = arguments.look_up("initializer", keras.initializers.get, initializer, required=True)

    def __call__(self, shape, dtype=None):
        steps, fields, *kernel_shape = shape
        kernels = [draw(self._of_field(i), tuple(kernel_shape), dtype) for i in range(fields)]
        return ops.stack([ops.stack(kernels)] * steps)

    def _of_field(self, index: int):
        # A Keras initializer with an integer seed, or none, draws the same numbers at every call.
        seed = getattr(self.initializer, "seed", None)
        if index == 0 or not isinstance(seed, int):
            return self.initializer
        return type(self.initializer).from_config({**self.initializer.get_config(), "seed": seed + index})

    def get_config(self):
        return {"initializer": keras.initializers.serialize(self.initializer)}
