"""Windows of images of natural size: in the centre, or at random as in the training of Inception and ResNet."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

from keras_pdecnn.utils import arguments

KINDS = ("center", "random")
"""The ways in which an image of natural size becomes one of the size of a network, with its aspect kept."""

DRAWS = 4
"""Number of random numbers that choose a window."""

_ASPECT = math.log(4 / 3)
_SHOWN = 0.875  # of the largest window: networks that are trained on parts of images recognise larger ones


@dataclasses.dataclass(frozen=True)
class Crop:
    """The window of an image that a network sees, resized to the size of its input.

    Args:
        kind: "center", the largest window in the centre that has the aspect of the input; or "random", in training a
            window of random area, aspect and place, and otherwise 7/8 of the largest one in the centre.
        least_area: Smallest area of a random window as a fraction of that of the image, in (0, 1]; default 0.25.

    Raises:
        ValueError: If an argument is outside its range.

    Example:
        >>> Crop("center").box((40, 30), (10, 10))
        (5.0, 0.0, 35.0, 30.0)
    """

    kind: str
    least_area: float = 0.25

    def __post_init__(self):
        arguments.check_choice("crop", self.kind, KINDS)
        arguments.check_share("crop_area", self.least_area)

    @property
    def is_random(self) -> bool:
        """Whether the window of a training image is drawn at random."""
        return self.kind == "random"

    def box(self, size: tuple[int, int], space: tuple[int, int], draws=None) -> tuple[float, float, float, float]:
        """Return the window (left, top, right, bottom) of an image in pixels.

        Args:
            size: (width, height) of the image.
            space: (height, width) of the input of the network.
            draws: `DRAWS` numbers in [0, 1), which choose a random window; default None, the window in the centre.
        """
        if draws is None:
            return self.central_box(size, space)
        aspect = space[1] / space[0]
        area = size[0] * size[1] * (self.least_area + (1 - self.least_area) * float(draws[0]))
        aspect *= math.exp(_ASPECT * (2 * float(draws[1]) - 1))
        width, height = min(math.sqrt(area * aspect), size[0]), min(math.sqrt(area / aspect), size[1])
        left, top = (size[0] - width) * float(draws[2]), (size[1] - height) * float(draws[3])
        return left, top, min(left + width, size[0]), min(top + height, size[1])

    def central_box(self, size: tuple, space: tuple, smaller: Callable = min) -> tuple:
        """Return the window in the centre, see `box`, also of sizes that are tensors.

        Args:
            size: (width, height) of the image.
            space: (height, width) of the input of the network.
            smaller: Function that returns the smaller of two such numbers; default `min`.
        """
        aspect = space[1] / space[0]
        width = smaller(size[0], size[1] * aspect) * (_SHOWN if self.is_random else 1.0)
        height = width / aspect
        left, top = (size[0] - width) * 0.5, (size[1] - height) * 0.5
        return left, top, smaller(left + width, size[0]), smaller(top + height, size[1])
