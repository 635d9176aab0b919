"""Pictures of networks with outputs for every pixel: input, truth, prediction and error side by side."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import ArrayLike

from keras_pdecnn.plotting.style import BLUE, ORANGE, draw_example, short, shown_slices, tiles

_ROWS = 8  # largest number of examples
_NAMED = 12  # largest number of classes in the legend


def class_colors(count: int) -> np.ndarray:
    """Return a colour for each class, whole numbers 0 … 255 of shape (count, 3); the first one is black.

    Args:
        count: Number of classes.

    Example:
        >>> class_colors(3).shape
        (3, 3)
    """
    others = [colormaps["tab20"](index % 20)[:3] for index in range(count - 1)]
    return np.round(255 * np.array([(0.0, 0.0, 0.0), *others])).astype(np.uint8)[:count]


def segmentation(x: ArrayLike, truth: ArrayLike, predicted: ArrayLike, class_names: Sequence[str]) -> Figure:
    """Draw examples, their true and predicted classes of pixels, and where these differ.

    Signals are drawn as curves, and video and volumes by four slices.

    Args:
        x: Raw examples of shape (n, *space, channels); at most eight are drawn.
        truth: True classes of the pixels, of shape (n, *space).
        predicted: Predicted classes of the same shape.
        class_names: Names of the classes.

    Returns:
        The figure.

    Example:
        >>> masks = np.zeros((1, 8, 8), int)
        >>> segmentation(np.zeros((1, 8, 8, 1)), masks, masks, ["cell", "membrane"]).savefig("masks.png")
    """
    x, truth, predicted = np.asarray(x)[:_ROWS], np.asarray(truth)[:_ROWS], np.asarray(predicted)[:_ROWS]
    colors = ListedColormap(class_colors(len(class_names)) / 255)
    figure, cells = _grid(x, 4)
    for row, example, true, guess in zip(cells, x, truth, predicted, strict=True):
        draw_example(row[0], example)
        for axes, classes in zip(row[1:3], (true, guess), strict=True):
            axes.imshow(_image(classes), cmap=colors, vmin=-0.5, vmax=len(class_names) - 0.5, interpolation="nearest")
        row[3].imshow(_image(true != guess), cmap=ListedColormap(["#ffffff", ORANGE]), vmin=0, vmax=1)
        row[3].set_xlabel(f"{100 * np.mean(true != guess):.1f} % wrong", fontsize=8)
    _label(cells, ("input", "true classes", "predicted classes", "wrong pixels"))
    shown = list(class_names)[:_NAMED]
    patches = [Patch(color=colors(index), label=short(name, 24)) for index, name in enumerate(shown)]
    figure.legend(handles=patches, loc="outside lower center", ncols=min(6, len(shown)), frameon=False, fontsize=8)
    return figure


def restoration(x: ArrayLike, truth: ArrayLike, restored: ArrayLike, max_value: float = 1.0) -> Figure:
    """Draw degraded examples, the true and the restored ones, and the size of the remaining error.

    Signals are drawn as curves, and video and volumes by four slices. Below the images stands their peak
    signal-to-noise ratio.

    Args:
        x: Degraded examples of shape (n, *space, channels); at most eight are drawn.
        truth: True examples of the same shape.
        restored: Restored examples of the same shape.
        max_value: Value of white; default 1.

    Returns:
        The figure.

    Example:
        >>> images = np.zeros((1, 8, 8, 1))
        >>> restoration(images, images, images).savefig("restored.png")
    """
    x, truth, restored = (np.asarray(y)[:_ROWS].astype(float) / max_value for y in (x, truth, restored))
    figure, cells = _grid(x, 4)
    largest = max(0.1, float(np.abs(restored - truth).max(initial=0)))
    for row, *examples in zip(cells, x, truth, restored, strict=True):
        for axes, example in zip(row, examples, strict=False):
            _draw_pixels(axes, example)
        for axes, example in ((row[0], examples[0]), (row[2], examples[2])):
            error = np.mean((example - examples[1]) ** 2)
            axes.set_xlabel(f"{-10 * np.log10(max(error, 1e-20)):.2f} dB", fontsize=8)
        error = np.abs(examples[2] - examples[1]).mean(axis=-1)
        row[3].imshow(_image(error), cmap="magma", vmin=0, vmax=largest)
        row[3].set_xlabel(f"0 … {largest:.2f} of white", fontsize=8)
    _label(cells, ("input", "truth", "restored", "error"))
    return figure


def _grid(x: np.ndarray, columns: int):
    rows = max(1, len(x))
    space = shown_slices(x[0, ..., 0]).shape if len(x) else (1, 1)
    aspect = space[0] / space[1] if len(space) == 2 else 0.6
    height = min(2.0, max(0.5, aspect)) * 2.4 + 0.3
    figure = Figure(figsize=(2.6 * columns, height * rows + 0.7), dpi=120, layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False)[: len(x)]


def _label(cells, titles: Sequence[str]):
    """Write the titles of the columns, and remove frames and ticks but not what stands below an image."""
    for row in cells:
        for axes in row:
            axes.axison = True
            axes.set_xticks([])
            axes.set_yticks([])
            axes.spines[:].set_visible(False)
    for axes, title in zip(cells[0], titles, strict=True) if len(cells) else ():
        axes.set_title(title, fontsize=10)


def _image(values: np.ndarray) -> np.ndarray:
    """Return what is drawn of an array (*space): slices of video and volumes, a stripe for a signal."""
    values = shown_slices(values)
    return values if values.ndim == 2 else np.repeat(values[np.newaxis], max(1, len(values) // 8), axis=0)


def _draw_pixels(axes, example: np.ndarray):
    """Draw an example whose values lie in [0, 1], with black at 0 and white at 1."""
    if example.ndim == 2:
        axes.plot(example, linewidth=0.6, color=BLUE)
        return
    example = np.clip(example, 0, 1)
    if example.shape[-1] == 3:
        axes.imshow(tiles(example, 1) if example.ndim == 4 else example)
    else:
        axes.imshow(shown_slices(example.mean(axis=-1)), cmap="gray", vmin=0, vmax=1)
