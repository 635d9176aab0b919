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
from keras_pdecnn.utils.spacing import middles

WIDTH, DPI = 3.8, 150  # size of pictures that stand side by side, or below each other on a narrow screen
BLUE, ORANGE, GREY = "#3465a4", "#e07b00", "#b4b4b4"  # colour-blind readers can tell them apart, too
MARKED = 25  # largest number of steps that are drawn with a marker each
_COLUMNS = 5  # largest number of times or steps side by side; of more, some at equal distances are shown
_SLICES = 4  # largest number of slices of video or of a volume that are drawn
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
    """Draw one example of shape (*space, channels); of video and volumes four slices, row by row."""
    rank = example.ndim - 1
    if rank == 1:
        axes.plot(np.asarray(example, float), linewidth=0.6, color=BLUE)
        axes.set_xmargin(0)
        axes.set_yticks([])
        axes.xaxis.set_major_locator(MaxNLocator(3, integer=True))
        axes.tick_params(labelsize=7)
        return
    axes.set_axis_off()
    if example.shape[-1] == 3:
        colors = example if example.dtype == np.uint8 else to_unit(example)
        axes.imshow(tiles(colors, 255 if colors.dtype == np.uint8 else 1) if rank == 3 else colors)
    else:
        axes.imshow(shown_slices(np.asarray(example, float).mean(axis=-1)), cmap="gray")


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


def shown_slices(values: np.ndarray) -> np.ndarray:
    """Return what is drawn of an array (*space): of three space axes some slices as one image, see `tiles`, or all.

    Args:
        values: Array with one to three space axes.
    """
    return tiles(values) if values.ndim == 3 else values


def tiles(values: np.ndarray, line: float = np.nan) -> np.ndarray:
    """Return slices of video or of a volume side by side, row by row: the middle ones of four parts of the first axis.

    Args:
        values: Array of shape (depth, height, width) or (depth, height, width, channels).
        line: Value of the lines between the slices; default NaN, which is not drawn.
    """
    slices = values[middles(len(values), min(len(values), _SLICES))]
    height, width = (size + 1 for size in values.shape[1:3])
    columns = math.ceil(math.sqrt(len(slices)))
    shape = (math.ceil(len(slices) / columns) * height - 1, columns * width - 1, *values.shape[3:])
    image = np.full(shape, line, float if math.isnan(line) else values.dtype)
    for index, one in enumerate(slices):
        row, column = divmod(index, columns)
        image[row * height :, column * width :][: height - 1, : width - 1] = one
    return image


def to_unit(image: np.ndarray) -> np.ndarray:
    """Return an image with its values brought to [0, 1]."""
    image = np.asarray(image, float)
    low, high = image.min(), image.max()
    return (image - low) / (high - low) if high > low else np.zeros_like(image)


def short(name: str, length: int = 14) -> str:
    """Return a name to be drawn; if it is longer than `length`, its middle is left out."""
    half = length // 2
    name = name if len(name) <= length else f"{name[: half - 1]}…{name[-half:]}"
    return name.replace("$", r"\$")  # which would begin a formula


def some_steps(count: int) -> list[int]:
    """Return the indices of some of `count` steps at equal distances, the first and the last among them."""
    return np.unique(np.linspace(0, count - 1, min(count, _COLUMNS)).round().astype(int)).tolist()


def clear_frame(axes: Axes):
    """Remove the upper and the right side of the frame, and draw a grid."""
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
