"""Pictures of predicted numbers and of predicted labels."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from keras_pdecnn.plotting.style import BLUE, GREY, ORANGE, clear_frame, draw_example, example_cells, short

_PANELS = 6  # largest number of outputs of a regression
_BARS = 12  # largest number of labels


def regression(truth: ArrayLike, predicted: ArrayLike, names: Sequence[str]) -> Figure:
    """Draw predicted numbers over the true ones, a picture for each of at most six outputs.

    Args:
        truth: True numbers of shape (n, outputs).
        predicted: Predicted numbers of the same shape.
        names: Names of the outputs.

    Returns:
        The figure.

    Example:
        >>> regression([[1.0], [2.0]], [[1.1], [1.9]], ["age"]).savefig("ages.png")
    """
    truth, predicted = np.asarray(truth, float), np.asarray(predicted, float)
    shown = min(_PANELS, truth.shape[1])
    columns = min(3, shown)
    rows = math.ceil(shown / columns)
    figure = Figure(figsize=(3.6 * columns, 3.4 * rows), dpi=120, layout="constrained")
    for index, axes in enumerate(figure.subplots(rows, columns, squeeze=False).ravel()):
        if index >= shown:
            axes.set_axis_off()
            continue
        x, y = truth[:, index], predicted[:, index]
        axes.plot(x, y, ".", color=BLUE, markersize=4, alpha=0.6)
        low, high = x.min(initial=np.inf), x.max(initial=-np.inf)
        if low <= high:
            axes.plot([low, high], [low, high], color=GREY, linewidth=1)
        axes.set_title(short(names[index], 24), fontsize=10)
        axes.set_xlabel("true")
        axes.set_ylabel("predicted")
        clear_frame(axes)
    return figure


def label_predictions(x: ArrayLike, labels: ArrayLike, outputs: ArrayLike, names: Sequence[str]) -> Figure:
    """Draw examples with bars of the probabilities of their labels: blue ones apply, and orange ones are wrong.

    Args:
        x: Raw examples of shape (n, *space, channels).
        labels: Labels 0 and 1 of shape (n, labels).
        outputs: Probabilities of the same shape.
        names: Names of the labels.

    Returns:
        The figure.

    Example:
        >>> label_predictions(np.zeros((1, 8, 8, 1)), [[0, 1]], [[0.2, 0.9]], ["cat", "dog"]).savefig("labels.png")
    """
    examples, present = np.asarray(x), np.asarray(labels)
    probabilities = np.nan_to_num(np.asarray(outputs, float))
    shown = min(_BARS, probabilities.shape[-1])
    figure, cells = example_cells(len(examples), shown)
    for cell, example, true, values in zip(cells, examples, present, probabilities, strict=False):
        left, right = cell.subplots(1, 2, width_ratios=(1, 1))
        draw_example(left, example)
        order = np.arange(len(values))
        if len(order) > shown:  # the labels that apply come first, then the most probable ones
            order = np.argsort(-(true + values), kind="stable")[:shown]
        colors = [ORANGE if (values[i] > 0.5) != bool(true[i]) else BLUE if true[i] else GREY for i in order]
        right.barh(range(shown), values[order], color=colors)
        right.set_yticks(range(shown), [short(names[i]) for i in order.tolist()], fontsize=7)
        right.invert_yaxis()
        right.set_xlim(0, 1)
        right.axvline(0.5, color=GREY, linewidth=0.6)
        right.set_xticks([0, 0.5, 1], ["0", "½", "1"], fontsize=7)
        right.tick_params(length=2)
        right.spines[["top", "right"]].set_visible(False)
    figure.suptitle("Probabilities of the labels   (blue: applies, orange: predicted wrongly)", fontsize=10)
    return figure
