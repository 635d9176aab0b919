"""Initial weights that are constant in time."""

from __future__ import annotations

import keras
from keras import ops

from keras_pdecnn.utils import arguments

__all__ = ["ConstantInTime"]


def draw(initializer, shape, dtype=None):
    """Return the values of an initializer; those in half precision are drawn in float32 and then rounded.

    The initializer "orthogonal" needs a QR decomposition, which TensorFlow does not have in half precision.

    Raises:
        ValueError: If the initializer cannot make weights of this shape.
    """
    dtype = keras.backend.standardize_dtype(dtype)
    try:
        drawn = initializer(shape, dtype="float32" if dtype in ("float16", "bfloat16") else dtype)
    except ValueError as error:
        raise ValueError(
            f"{initializer!r} cannot make a weight of this shape: {error} Received: shape={tuple(shape)}"
        ) from error
    return ops.cast(drawn, dtype)


@keras.saving.register_keras_serializable(package="keras_pdecnn")
class ConstantInTime(keras.initializers.Initializer):
    """Draw a kernel once per field and repeat it over the steps, so that theta starts constant in time.

    For a weight of shape (steps, fields, *kernel_size, c, filters), `initializer` draws kernels of shape (*kernel_size,
    c, filters), so that steps and fields do not count as inputs or outputs of the layer. The kernels of the fields are
    independent, even if the initializer has a fixed seed.

    Args:
        initializer: Initializer of one kernel, a Keras initializer, its name or its configuration; default "he_normal".

    Raises:
        ValueError: If Keras does not know the initializer.

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
