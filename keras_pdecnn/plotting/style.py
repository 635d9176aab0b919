"""What all pictures share: colours, the styles of networks, and how an example is drawn."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from keras_pdecnn.networks import NETWORKS, label

WIDTH, DPI = 3.8, 150  # size of pictures that stand side by side, or below each other on a narrow screen
BLUE, ORANGE, GREY = "#3465a4", "#e07b00", "#b4b4b4"  # colour-blind readers can tell them apart, too
MARKED = 25  # largest number of steps that are drawn with a marker each
_COLUMNS = 5  # largest number of times or steps side by side; of more, some at equal distances are shown
_NEUTRAL = (BLUE, "#000000", "#56b4e9", "#8c564b")  # for networks whose colour no record gives, in this order


@dataclasses.dataclass(frozen=True)
class Style:
    """How a network is drawn: its marker, its colour and its label in legends."""

    marker: str
    color: str
    label: str


def network_styles(names: Iterable[str]) -> dict[str, Style]:
    """Return the style of each network by name: that of its record in `models.NETWORKS`, or a neutral one.

    Args:
        names: Names of the networks that are drawn together; they need not have a record.
    """
    records = {name: NETWORKS.get(name) for name in names}
    taken = {record.color for record in records.values() if record}
    neutral = iter([color for color in _NEUTRAL if color not in taken])
    styles = {}
    for name, record in records.items():
        color = (record and record.color) or next(neutral, GREY)
        styles[name] = Style((record and record.marker) or "o", color, label(name))
    return styles


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


def example_cells(count: int, bars: int, columns: int = 4) -> tuple[Figure, np.ndarray]:
    """Return a figure with a cell for each example, which has room for the example and for bars beside it.

    Args:
        count: Number of examples.
        bars: Number of bars per example.
        columns: Largest number of cells per row; default 4.

    Returns:
        The figure, and its cells as an array of sub-figures, at least one per example.
    """
    columns = max(1, min(columns, count))
    rows = max(1, math.ceil(count / columns))
    figure = Figure(figsize=(3.6 * columns, (0.9 + 0.17 * bars) * rows + 0.4), dpi=120, layout="constrained")
    return figure, figure.subfigures(rows, columns, squeeze=False, wspace=0.02, hspace=0.02).ravel()


def shown_slice(values: np.ndarray) -> np.ndarray:
    """Return the part of an array (*space) that is drawn: the middle slice along the first of three space axes, or all.

    Args:
        values: Array with one to three space axes.
    """
    return values[len(values) // 2] if values.ndim == 3 else values


def to_unit(image: np.ndarray) -> np.ndarray:
    """Return an image with its values brought to [0, 1]."""
    image = np.asarray(image, float)
    low, high = image.min(), image.max()
    return (image - low) / (high - low) if high > low else np.zeros_like(image)


def short(name: str, length: int = 14) -> str:
    """Return a name; if it is longer than `length`, its middle is left out."""
    half = length // 2
    return name if len(name) <= length else f"{name[: half - 1]}…{name[-half:]}"


def some_steps(count: int) -> list[int]:
    """Return the indices of some of `count` steps at equal distances, the first and the last among them."""
    return np.unique(np.linspace(0, count - 1, min(count, _COLUMNS)).round().astype(int)).tolist()


def clear_frame(axes: Axes):
    """Remove the upper and the right side of the frame, and draw a grid."""
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
