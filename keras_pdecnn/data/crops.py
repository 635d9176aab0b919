"""Windows of images of natural size: in the centre, or at random as in the training of Inception and ResNet."""

from __future__ import annotations

import dataclasses
import math

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
        aspect = space[1] / space[0]
        if draws is None:
            width = min(size[0], size[1] * aspect) * (_SHOWN if self.is_random else 1.0)
            height, place = width / aspect, (0.5, 0.5)
        else:
            area = size[0] * size[1] * (self.least_area + (1 - self.least_area) * float(draws[0]))
            aspect *= math.exp(_ASPECT * (2 * float(draws[1]) - 1))
            width = min(math.sqrt(area * aspect), size[0])
            height, place = min(math.sqrt(area / aspect), size[1]), (float(draws[2]), float(draws[3]))
        left, top = (size[0] - width) * place[0], (size[1] - height) * place[1]
        return left, top, min(left + width, size[0]), min(top + height, size[1])
