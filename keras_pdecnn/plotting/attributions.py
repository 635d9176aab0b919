"""Pictures of the parts of an example that speak for a class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike

from keras_pdecnn.plotting.style import DPI, WIDTH, draw_example, shown_slices, to_unit
from keras_pdecnn.utils import arguments


def attribution(
    example: ArrayLike,
    gradients: Mapping[str, ArrayLike],
    activation: ArrayLike,
    pooled_by: int | Sequence[int] = 1,
) -> Figure:
    """Draw an example, the absolute gradients of a logit, and a class-activation map.

    Where there are several channels, the largest absolute gradient is shown. Signals are drawn as curves with the value
    as colour; of video and volumes four slices are drawn, row by row.

    Args:
        example: Raw example of shape (*space, channels) with one to three space axes.
        gradients: Arrays of the shape of the example by name, such as saliency and SmoothGrad.
        activation: Class-activation map of shape (*coarser space).
        pooled_by: Number of pixels that one entry of the map stands for, one for all space axes or one per space axis;
            default 1.

    Returns:
        The figure.

    Example:
        >>> figure = attribution(np.zeros((8, 8, 1)), {"saliency": np.ones((8, 8, 1))}, np.ones((8, 8)))
        >>> figure.savefig("attribution.png")
    """
    example = np.asarray(example)
    signal = example.ndim == 2
    count = 2 + len(gradients)
    rows, columns = (count, 1) if signal else ((count + 1) // 2, 2)
    figure = Figure(figsize=(WIDTH, 1.3 * rows if signal else 1.85 * rows), dpi=DPI, layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    panels[0].set_title("example", fontsize=9)
    draw_example(panels[0], example)
    for axes, (name, gradient) in zip(panels[1:], gradients.items(), strict=False):
        axes.set_title(name, fontsize=9)
        size = np.abs(np.asarray(gradient, float)).max(axis=-1)
        if signal:
            _draw_coloured(axes, example, size, "viridis", 0, size.max(), figure)
        else:
            image = axes.imshow(shown_slices(size), cmap="inferno", vmin=0)
            axes.set_axis_off()
            _add_bar(figure, axes, image)
    pooled = arguments.per_entry("pooled_by", pooled_by, example.ndim - 1, "space axis")
    _draw_activation(figure, panels[count - 1], example, np.asarray(activation, float), pooled)
    for axes in panels[count:]:
        axes.set_axis_off()
    return figure


def _draw_activation(figure: Figure, axes: Axes, example: np.ndarray, activation: np.ndarray, pooled: tuple):
    axes.set_title("class-activation map", fontsize=9)
    bound = np.abs(activation).max() or 1.0
    if example.ndim == 2:
        place = np.minimum(np.arange(len(example)) // pooled[0], len(activation) - 1)
        _draw_coloured(axes, example, activation[place], "coolwarm", -bound, bound, figure)
        return
    # The example is pale and grey, so that all colours belong to the map.
    axes.imshow(shown_slices(0.5 + 0.5 * to_unit(example.mean(axis=-1))), cmap="gray", vmin=0, vmax=1)
    axes.set_axis_off()
    if activation.ndim == 3:
        # The lines between the slices are as wide as one pixel of the example.
        activation, pooled = _enlarged(activation, pooled, example.shape[:-1]), (1, 1, 1)
    activation = shown_slices(activation)
    height, width = (pixels * size for pixels, size in zip(pooled[-2:], activation.shape, strict=True))
    image = axes.imshow(
        activation,
        cmap="coolwarm",
        vmin=-bound,
        vmax=bound,
        alpha=0.65,
        extent=(-0.5, width - 0.5, height - 0.5, -0.5),
        interpolation="nearest",
    )
    rows, columns = shown_slices(example[..., 0]).shape
    axes.set_xlim(-0.5, columns - 0.5)
    axes.set_ylim(rows - 0.5, -0.5)
    _add_bar(figure, axes, image)


def _enlarged(activation: np.ndarray, pooled: tuple, space: tuple) -> np.ndarray:
    """Return a map with an entry for each pixel of the example: NaN where pixels were dropped by the pooling."""
    for axis, factor in enumerate(pooled):
        activation = np.repeat(activation, factor, axis)
    image = np.full(space, np.nan)
    part = tuple(slice(min(sizes)) for sizes in zip(space, activation.shape, strict=True))
    image[part] = activation[part]
    return image


def _draw_coloured(
    axes: Axes, example: np.ndarray, value: np.ndarray, cmap: str, low: float, high: float, figure: Figure
):
    """Draw the curve of a signal in the colours of a value."""
    curve = np.asarray(example, float).mean(axis=-1)
    points = np.stack([np.arange(len(curve)), curve], axis=-1)
    segments = np.stack([points[:-1], points[1:]], axis=1)
    lines = LineCollection(list(segments), cmap=cmap, array=value[:-1], linewidth=1.4)
    lines.set_clim(low, high or 1.0)
    axes.add_collection(lines)
    axes.autoscale()
    axes.set_xmargin(0)
    axes.set_yticks([])
    axes.xaxis.set_major_locator(MaxNLocator(3, integer=True))
    axes.tick_params(labelsize=7)
    _add_bar(figure, axes, lines)


def _add_bar(figure: Figure, axes: Axes, image: ScalarMappable):
    bar = figure.colorbar(image, ax=axes, fraction=0.046, pad=0.03)
    bar.ax.yaxis.set_major_locator(MaxNLocator(4))
    bar.ax.tick_params(labelsize=7)
