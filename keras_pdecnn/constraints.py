"""Box constraint on kernel entries."""

from __future__ import annotations

import keras
from keras import ops

from keras_pdecnn.utils.arguments import describe, is_number


@keras.saving.register_keras_serializable(package="keras_pdecnn")
class Box(keras.constraints.Constraint):
    """Keep every entry of a weight in the interval [minimum, maximum], by projection after each update.

    In the paper, kernel entries stay in [-1, 1].

    Args:
        minimum: Lower bound.
        maximum: Upper bound, above `minimum`.

    Raises:
        ValueError: If the bounds are not numbers or the interval is empty.

    Example:
        >>> Box(-1.0, 1.0)(keras.ops.array([-3.0, 0.5])).numpy().tolist()
        [-1.0, 0.5]
    """

    def __init__(self, minimum, maximum):
        if not (is_number(minimum) and is_number(maximum) and minimum < maximum):
            raise ValueError(
                "Box needs two numbers, minimum < maximum. "
                f"Received: minimum={describe(minimum)}, maximum={describe(maximum)}"
            )
        self.minimum = float(minimum)
        self.maximum = float(maximum)

    def __call__(self, weight):
        return ops.clip(weight, self.minimum, self.maximum)

    def get_config(self):
        return {"minimum": self.minimum, "maximum": self.maximum}
