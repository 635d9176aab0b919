"""Pictures of confusion matrices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.ticker import PercentFormatter
from numpy.typing import ArrayLike

from keras_pdecnn.networks import label
from keras_pdecnn.plotting.style import short

_NAMED_CLASSES = 20  # largest number of classes whose names and counts fit into a confusion matrix


def confusion_matrix(matrix: ArrayLike, class_names: Sequence[str], counted: str = "test examples") -> Figure:
    """Draw a confusion matrix, shaded by the shares in each row.

    Args:
        matrix: Square array, whose entry `[i][j]` is the number of examples of class i that are predicted as class j.
        class_names: Names of the classes.
        counted: Name of what is counted; default "test examples".

    Returns:
        The figure.

    Example:
        >>> confusion_matrix([[9, 1], [0, 10]], ["cat", "dog"]).savefig("confusion.png")
    """
    matrix = np.asarray(matrix)
    named = len(matrix) <= _NAMED_CLASSES
    side = max(5.0, 3.2 + 0.42 * len(matrix)) if named else 8.0
    figure = Figure(figsize=(side + 1.0, side), dpi=120, layout="compressed")
    axes = figure.subplots()
    image = _draw(axes, matrix, class_names, {(i, j): str(matrix[i, j]) for i, j in np.argwhere(matrix)}, size=9)
    axes.set_xlabel("predicted class")
    axes.set_ylabel("true class")
    axes.set_title(f"{100 * _accuracy(matrix):.2f} % of {matrix.sum():,} {counted} are right")
    bar = figure.colorbar(image, ax=axes, fraction=0.046, pad=0.03, format=PercentFormatter(1.0))
    bar.set_label("share of the true class")
    return figure


def confusion_matrices(matrices: Mapping[str, ArrayLike], class_names: Sequence[str]) -> Figure:
    """Draw the confusion matrices of several networks in two columns (Figure 4 of the paper).

    The cells hold percentages of the true class; those below 0.5 are left out.

    Args:
        matrices: Matrices as in `confusion_matrix` by the names of the networks.
        class_names: Names of the classes.

    Returns:
        The figure.

    Example:
        >>> matrix = [[9, 1], [0, 10]]
        >>> figure = confusion_matrices({"hamiltonian": matrix, "parabolic": matrix}, ["cat", "dog"])
        >>> figure.axes[0].get_title()
        'Hamiltonian: 95.0 %'
    """
    columns = min(2, len(matrices))
    rows = -(-len(matrices) // columns)
    side = 1.2 + 0.34 * min(len(class_names), _NAMED_CLASSES)
    figure = Figure(figsize=(columns * (side + 0.4), rows * (side + 0.3)), dpi=150, layout="constrained")
    cells = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes, (name, entries) in zip(cells, matrices.items(), strict=False):
        matrix = np.asarray(entries)
        percent = 100 * _shares(matrix)
        texts = {(i, j): f"{percent[i, j]:.0f}" for i, j in np.argwhere(percent >= 0.5)}
        _draw(axes, matrix, class_names, texts, size=7)
        axes.tick_params(labelsize=7)
        axes.set_title(f"{label(name)}: {100 * _accuracy(matrix):.1f} %", fontsize=9)
    for axes in cells[len(matrices) :]:
        axes.set_axis_off()
    figure.supylabel("true class", fontsize=9)
    figure.supxlabel("predicted class, in percent of the true class", fontsize=9)
    return figure


def _draw(
    axes: Axes, matrix: np.ndarray, class_names: Sequence[str], texts: Mapping[tuple[int, int], str], size: int
) -> AxesImage:
    """Draw the shares of one matrix; names and texts are left out where there are too many classes for them."""
    shares = _shares(matrix)
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    if len(matrix) > _NAMED_CLASSES:
        return image
    names = [short(name) for name in class_names]
    upright = max(map(len, names)) <= 3
    axes.set_xticks(range(len(names)), names, rotation=0 if upright else 90)
    axes.set_yticks(range(len(names)), names)
    for (i, j), text in texts.items():
        color = "white" if shares[i, j] > 0.5 else "black"
        axes.text(j, i, text, ha="center", va="center", color=color, fontsize=size)
    return image


def _shares(matrix: np.ndarray) -> np.ndarray:
    """Return the shares of each row; a class without examples has a row of zeros."""
    return matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)


def _accuracy(matrix: np.ndarray) -> float:
    return np.trace(matrix) / max(matrix.sum(), 1)
