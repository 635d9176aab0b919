"""Pictures of runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter
from numpy.typing import ArrayLike

from keras_pdecnn.plotting.style import BLUE, GREY, ORANGE, clear_frame, draw_example, example_cells, short

_BARS = 10  # largest number of bars per example; of more classes the most probable are shown


def training_curves(
    history: Mapping[str, Sequence[float]],
    metric: str = "accuracy",
    title: str = "Accuracy",
    in_percent: bool = True,
) -> Figure:
    """Draw the loss and a metric, by default the accuracy, over the epochs.

    Args:
        history: Lists with one entry per epoch: loss, accuracy and, with a validation part, val_loss and val_accuracy.
            Entries that are not finite are gaps. `epoch`, if given, counts from 0.
        metric: Name of the metric; default "accuracy".
        title: Title of its picture; default "Accuracy".
        in_percent: Whether it is a fraction that is written in percent; default True.

    Returns:
        The figure.

    Example:
        >>> training_curves({"loss": [2.1, 1.3], "accuracy": [0.3, 0.6]}).savefig("curves.png")
    """
    length = max((len(values) for values in history.values()), default=0)
    epochs = np.asarray(history.get("epoch", range(length)), float) + 1
    figure = Figure(figsize=(10, 4), dpi=120, layout="constrained")
    panels = {"loss": "Loss", metric: title}
    for axes, (key, heading) in zip(figure.subplots(1, 2), panels.items(), strict=True):
        for name, label, color in ((key, "training", BLUE), (f"val_{key}", "validation", ORANGE)):
            if name in history:
                values = np.asarray(history[name], float)
                values[~np.isfinite(values)] = np.nan
                axes.plot(epochs, values, ".-", color=color, label=label, markersize=4, linewidth=1.4)
        axes.set_title(heading)
        axes.set_xlabel("epoch")
        axes.set_xlim(epochs.min(initial=1) - 0.5, epochs.max(initial=1) + 0.5)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        clear_frame(axes)
        if key == metric and in_percent:
            axes.yaxis.set_major_formatter(PercentFormatter(1.0))
        if axes.lines:
            axes.legend(frameon=False)
    return figure


def predictions(
    x: ArrayLike,
    labels: ArrayLike,
    outputs: ArrayLike,
    class_names: Sequence[str],
    columns: int = 4,
    probabilities: bool = True,
) -> Figure:
    """Draw examples with bars of the predicted class probabilities (Figure 1 of the paper).

    The bar of the true class is blue. If another bar is the longest one, it is orange. Of many classes, the most
    probable ones and the true one are shown. Signals are drawn as curves, video and volumes by four slices, row by row.

    Args:
        x: Raw examples of shape (n, *space, channels).
        labels: True classes of shape (n,).
        outputs: Probabilities or scores of the classes, of shape (n, classes).
        class_names: Names of the classes.
        columns: Number of examples per row; default 4.
        probabilities: Whether the outputs are probabilities (default True) or scores of any size and sign.

    Returns:
        The figure.

    Example:
        >>> predictions(np.zeros((1, 8, 8, 1)), [0], [[0.9, 0.1]], ["cat", "dog"]).savefig("predictions.png")
    """
    x, labels = np.asarray(x), np.asarray(labels)
    scores = np.nan_to_num(np.asarray(outputs, float))
    limits = (0, 1) if probabilities else (min(0, scores.min(initial=0)), max(1, scores.max(initial=1)))
    figure, cells = example_cells(len(x), min(_BARS, scores.shape[-1]), columns)
    for cell, example, label, values in zip(cells, x, labels, scores, strict=False):
        left, right = cell.subplots(1, 2, width_ratios=(1, 1))
        draw_example(left, example)
        _draw_bars(right, int(label), values, class_names, limits)
        left.set_title(short(class_names[int(label)]), fontsize=9, color=BLUE)
    gap = "   " if min(columns, len(x)) > 1 else "\n"
    title = "Predicted probabilities" if probabilities else "Scores of the classes"
    figure.suptitle(f"{title}{gap}(blue: true class, orange: another one predicted)", fontsize=10)
    return figure


def _draw_bars(axes: Axes, label: int, values: np.ndarray, class_names: Sequence[str], limits: tuple[float, float]):
    """Draw the outputs for one example: those of all classes, or those of the most probable ones and the true one."""
    order = np.arange(len(values))
    if len(values) > _BARS:
        order = np.argsort(-values, kind="stable")[:_BARS]
        if label not in order:
            order[-1] = label
    best = values.argmax()
    colors = [BLUE if i == label else ORANGE if i == best else GREY for i in order]
    axes.barh(range(len(order)), values[order], color=colors)
    axes.set_yticks(range(len(order)), [short(class_names[i]) for i in order.tolist()], fontsize=7)
    axes.invert_yaxis()
    axes.set_xlim(limits)
    axes.set_xticks([0, 0.5, 1], ["0", "½", "1"], fontsize=7)
    axes.tick_params(length=2)
    axes.spines[["top", "right"]].set_visible(False)
