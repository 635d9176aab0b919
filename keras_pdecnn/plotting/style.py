"""What all pictures share: colours, and how an example and a name are drawn."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

WIDTH, DPI = 3.8, 150  # of pictures that stand side by side, and below each other on a narrow screen
BLUE, ORANGE, GREY = "#3465a4", "#e07b00", "#b4b4b4"  # told apart by colour-blind readers too
MARKED = 25  # up to so many steps each has its marker
_COLUMNS = 5  # times or steps side by side; of more, some at equal distances are shown
MARKERS = {
    "hamiltonian": ("o", BLUE),
    "parabolic": ("s", ORANGE),
    "second_order": ("^", "#009e73"),
    "residual": ("D", "#cc79a7"),
}


def draw_example(axes: Axes, example: np.ndarray):
    """Draw one example of shape (*space, channels)."""
    rank = example.ndim - 1
    if rank == 1:
        axes.plot(np.asarray(example, float), linewidth=0.6, color=BLUE)
        axes.set_xmargin(0)
        axes.set_yticks([])
        axes.xaxis.set_major_locator(MaxNLocator(3, integer=True))
        axes.tick_params(labelsize=7)
        return
    if rank == 3:
        example = example[len(example) // 2]
    axes.set_axis_off()
    if example.shape[-1] == 3:
        axes.imshow(example if example.dtype == np.uint8 else to_unit(example))
    else:
        axes.imshow(np.asarray(example, float).mean(axis=-1), cmap="gray")


def shown_slice(values: np.ndarray) -> np.ndarray:
    """Return what is shown of values of shape (*space): of three space axes the slice in the middle of the first."""
    return values[len(values) // 2] if values.ndim == 3 else values


def to_unit(image: np.ndarray) -> np.ndarray:
    """Return an image with its values brought to [0, 1]."""
    image = np.asarray(image, float)
    low, high = image.min(), image.max()
    return (image - low) / (high - low) if high > low else np.zeros_like(image)


def short(name: str, length: int = 14) -> str:
    """Return a name cut in the middle to a length."""
    half = length // 2
    return name if len(name) <= length else f"{name[: half - 1]}…{name[-half:]}"


def some_steps(count: int) -> list[int]:
    """Return the first and the last of `count` steps, and some between at equal distances."""
    return np.unique(np.linspace(0, count - 1, min(count, _COLUMNS)).round().astype(int)).tolist()


def clear_frame(axes: Axes):
    """Leave out the upper and the right side of the frame, and draw a grid."""
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
