"""Pictures of runs and searches: each function returns a Matplotlib figure, made without pyplot, for `savefig`."""

from __future__ import annotations

import math

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator, PercentFormatter

_BLUE, _ORANGE, _GREY = "#3465a4", "#e07b00", "#b4b4b4"  # told apart by colour-blind readers too
_NAMED_CLASSES = 20  # more than that, and neither names nor counts fit into a confusion matrix
_COLORS = colormaps["viridis"]
_MARKERS = {
    "hamiltonian": ("o", _BLUE),
    "parabolic": ("s", _ORANGE),
    "second_order": ("^", "#009e73"),
    "residual": ("D", "#cc79a7"),
}
_BARS = 10  # per example; of more classes the most probable are shown


def training_curves(history: dict) -> Figure:
    """Draw loss and accuracy over the epochs.

    Args:
        history: One list per quantity, one entry per epoch: loss, accuracy, and where there is a validation part
            val_loss and val_accuracy; entries that are not finite are gaps. `epoch`, if given, counts from 0.

    Returns:
        The figure.
    """
    length = max((len(values) for values in history.values()), default=0)
    epochs = np.asarray(history.get("epoch", range(length)), float) + 1
    figure = Figure(figsize=(10, 4), dpi=120, layout="constrained")
    panels = {"loss": "Loss", "accuracy": "Accuracy"}
    for axes, (key, title) in zip(figure.subplots(1, 2), panels.items(), strict=True):
        for name, label, color in ((key, "training", _BLUE), (f"val_{key}", "validation", _ORANGE)):
            if name in history:
                values = np.asarray(history[name], float)
                values[~np.isfinite(values)] = np.nan
                axes.plot(epochs, values, ".-", color=color, label=label, markersize=4, linewidth=1.4)
        axes.set_title(title)
        axes.set_xlabel("epoch")
        axes.set_xlim(epochs.min(initial=1) - 0.5, epochs.max(initial=1) + 0.5)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
        if key == "accuracy":
            axes.yaxis.set_major_formatter(PercentFormatter(1.0))
        if axes.lines:
            axes.legend(frameon=False)
    return figure


def confusion_matrix(matrix, class_names) -> Figure:
    """Draw a confusion matrix, each row shaded by the share of its class.

    Args:
        matrix: Square array; entry [i][j] counts the examples of class i that were taken for class j.
        class_names: One name per class.

    Returns:
        The figure.
    """
    matrix = np.asarray(matrix)
    classes = len(matrix)
    share = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    named = classes <= _NAMED_CLASSES
    side = max(5.0, 3.2 + 0.42 * classes) if named else 8.0
    figure = Figure(figsize=(side + 1.0, side), dpi=120, layout="compressed")
    axes = figure.subplots()
    image = axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    axes.set_xlabel("predicted class")
    axes.set_ylabel("true class")
    accuracy = np.trace(matrix) / max(matrix.sum(), 1)
    axes.set_title(f"{100 * accuracy:.2f} % of {matrix.sum():,} test examples are right")
    if named:
        names = [_short(name) for name in class_names]
        upright = max(map(len, names)) <= 3
        axes.set_xticks(range(classes), names, rotation=0 if upright else 90)
        axes.set_yticks(range(classes), names)
        for i, j in zip(*np.nonzero(matrix), strict=True):
            color = "white" if share[i, j] > 0.5 else "black"
            axes.text(j, i, str(matrix[i, j]), ha="center", va="center", color=color, fontsize=9)
    bar = figure.colorbar(image, ax=axes, fraction=0.046, pad=0.03, format=PercentFormatter(1.0))
    bar.set_label("share of the true class")
    return figure


def predictions(x, labels, outputs, class_names, columns: int = 4, probabilities: bool = True) -> Figure:
    """Draw examples with bars of the predicted class probabilities (Figure 1 of the paper).

    The bar of the true class is blue; if another is higher, that one is orange. Of many classes the most probable ones
    and the true one are shown. Signals are drawn as curves, and of video or volumes the middle slice.

    Args:
        x: Raw examples, shape (n, *space, channels).
        labels: True classes, shape (n,).
        outputs: Probabilities or scores of the classes, shape (n, classes).
        class_names: One name per class.
        columns: Examples per row; default 4.
        probabilities: Whether the outputs are probabilities; default True. False: scores, of any size and sign.

    Returns:
        The figure.
    """
    x, labels = np.asarray(x), np.asarray(labels)
    outputs = np.nan_to_num(np.asarray(outputs, float))
    limits = (0, 1) if probabilities else (min(0, outputs.min(initial=0)), max(1, outputs.max(initial=1)))
    columns = max(1, min(columns, len(x)))
    rows = max(1, math.ceil(len(x) / columns))
    shown = min(_BARS, outputs.shape[-1])
    figure = Figure(figsize=(3.6 * columns, (0.9 + 0.17 * shown) * rows + 0.4), dpi=120, layout="constrained")
    cells = np.atleast_1d(figure.subfigures(rows, columns, wspace=0.02, hspace=0.02)).ravel()
    for cell, example, label, values in zip(cells, x, labels, outputs, strict=False):
        left, right = cell.subplots(1, 2, width_ratios=(1, 1))
        _draw_example(left, example)
        _draw_bars(right, int(label), values, class_names, limits)
        left.set_title(_short(class_names[int(label)]), fontsize=9, color=_BLUE)
    gap = "   " if columns > 1 else "\n"
    title = "Predicted probabilities" if probabilities else "Scores of the classes"
    figure.suptitle(f"{title}{gap}(blue: true class, orange: another one predicted)", fontsize=10)
    return figure


def theta(kernels, step_size: float, entries: int = 12) -> Figure:
    """Draw entries of the kernel of a block over time, as the block takes them: theta_j from t_j = j h to t_{j+1}.

    Args:
        kernels: `theta()["kernel"]` of a block, shape (steps, fields, *kernel_size, c, filters); or a dict of several
            of one shape by their titles, which are drawn side by side.
        step_size: h.
        entries: Number of entries, at equal distances over the kernel, the same in each panel; default 12.

    Returns:
        The figure.

    Example:
        >>> figure = theta(block.theta()["kernel"], block.step_size)
    """
    panels = kernels if isinstance(kernels, dict) else {"": kernels}
    figure = Figure(figsize=(1.2 + 4.2 * len(panels), 3.8), dpi=120, layout="constrained")
    for axes, (title, kernel) in zip(
        figure.subplots(1, len(panels), sharey=True, squeeze=False)[0], panels.items(), strict=True
    ):
        values = np.asarray(kernel, float)
        values = values.reshape(len(values), -1)
        steps, size = values.shape
        shown = np.unique(np.linspace(0, size - 1, min(entries, size)).round().astype(int))
        # The last value holds until T.
        lines = axes.step(
            step_size * np.arange(steps + 1), np.vstack([values, values[-1:]])[:, shown], where="post", linewidth=1.3
        )
        for i, line in enumerate(lines):
            line.set_color(_COLORS(i / max(1, len(lines) - 1)))
        axes.set_title(title, fontsize=10)
        axes.set_xlabel("time t")
        axes.set_xlim(0, step_size * steps)
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    figure.axes[0].set_ylabel("entries of theta(t)")
    return figure


def search(trials: list[dict]) -> Figure:
    """Draw the trials of a search: validation accuracy over trials, depth, width, step size and number of weights.

    Trials that failed are crosses below the others. The line of the last panel is the Pareto front, the networks that
    no other one beats with fewer weights.

    Args:
        trials: One dict per trial, in order: accuracy (None if it failed), architecture, steps, width, step_size,
            weights.

    Returns:
        The figure.
    """
    figure = Figure(figsize=(12, 7), dpi=120, layout="constrained")
    panels = figure.subplots(2, 3, sharey=True).ravel()
    done = [trial for trial in trials if trial["accuracy"] is not None]
    names = [name for name in _MARKERS if any(trial["architecture"] == name for trial in trials)]
    low = min((trial["accuracy"] for trial in done), default=0.0)
    high = max((trial["accuracy"] for trial in done), default=1.0)
    room = 0.08 * max(high - low, 0.01)
    numbered = [{**trial, "number": number} for number, trial in enumerate(trials, start=1)]
    quantities = {
        "number": "trial",
        "steps": "steps per block",
        "width": "width of the first block",
        "step_size": "step size",
        "weights": "number of weights",
    }
    for axes, (key, label) in zip(panels, quantities.items(), strict=False):
        for name in names:
            marker, color = _MARKERS[name]
            of_name = [trial for trial in numbered if trial["architecture"] == name]
            good = [trial for trial in of_name if trial["accuracy"] is not None]
            failed = [trial for trial in of_name if trial["accuracy"] is None]
            x, y = [trial[key] for trial in good], [trial["accuracy"] for trial in good]
            axes.plot(x, y, marker, color=color, markersize=6, alpha=0.85, label=name.replace("_", "-"), zorder=3)
            axes.plot([trial[key] for trial in failed], [low - room] * len(failed), "x", color=color, zorder=3)
        axes.set_xlabel(label)
        if key in ("step_size", "weights"):
            axes.set_xscale("log")
            axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axes.xaxis.set_major_formatter("{x:,g}")
            axes.xaxis.set_minor_locator(NullLocator())
        else:
            axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        axes.set_ylim(low - 2 * room, high + room)
        axes.yaxis.set_major_formatter(PercentFormatter(1.0))
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    for axes in (panels[0], panels[3]):
        axes.set_ylabel("validation accuracy")
    over_trials, *_, over_weights, legend = panels
    so_far = np.fmax.accumulate([np.nan if t["accuracy"] is None else t["accuracy"] for t in trials] or [np.nan])
    over_trials.plot(range(1, len(so_far) + 1), so_far, color=_GREY, drawstyle="steps-post", label="best so far")
    front = pareto_front([(trial["weights"], trial["accuracy"]) for trial in done])
    over_weights.plot(*np.array(front).reshape(-1, 2).T, color="black", linewidth=1, label="Pareto front")
    handles = dict(zip(*reversed(over_trials.get_legend_handles_labels()), strict=True))
    handles |= dict(zip(*reversed(over_weights.get_legend_handles_labels()), strict=True))
    if len(done) < len(trials):
        handles["failed"] = Line2D([], [], color="black", marker="x", linestyle="")
    legend.set_axis_off()
    legend.legend(handles.values(), handles.keys(), loc="center", frameon=False)
    return figure


def pareto_front(points: list[tuple]) -> list[tuple]:
    """Return the points (cost, value), by cost, that no other one beats in one of them at no loss in the other."""
    front = []
    for cost, value in sorted(points, key=lambda point: (point[0], -point[1])):
        if not front or value > front[-1][1]:
            front.append((cost, value))
    return front


def _draw_example(axes, example):
    """Draw one example of shape (*space, channels)."""
    rank = example.ndim - 1
    if rank == 1:
        axes.plot(np.asarray(example, float), linewidth=0.6, color=_BLUE)
        axes.set_xmargin(0)
        axes.set_yticks([])
        axes.xaxis.set_major_locator(MaxNLocator(3, integer=True))
        axes.tick_params(labelsize=7)
        return
    if rank == 3:
        example = example[len(example) // 2]
    axes.set_axis_off()
    if example.shape[-1] == 3:
        axes.imshow(example if example.dtype == np.uint8 else _to_unit(example))
    else:
        axes.imshow(np.asarray(example, float).mean(axis=-1), cmap="gray")


def _draw_bars(axes, label: int, values, class_names, limits: tuple):
    """Draw the outputs for one example: all classes, or of many the most probable and the true one."""
    order = np.arange(len(values))
    if len(values) > _BARS:
        order = np.argsort(-values, kind="stable")[:_BARS]
        if label not in order:
            order[-1] = label
    best = values.argmax()
    colors = [_BLUE if i == label else _ORANGE if i == best else _GREY for i in order]
    axes.barh(range(len(order)), values[order], color=colors)
    axes.set_yticks(range(len(order)), [_short(class_names[i]) for i in order], fontsize=7)
    axes.invert_yaxis()
    axes.set_xlim(limits)
    axes.set_xticks([0, 0.5, 1], ["0", "½", "1"], fontsize=7)
    axes.tick_params(length=2)
    axes.spines[["top", "right"]].set_visible(False)


def _to_unit(image):
    image = np.asarray(image, float)
    low, high = image.min(), image.max()
    return (image - low) / (high - low) if high > low else np.zeros_like(image)


def _short(name: str, length: int = 14) -> str:
    half = length // 2
    return name if len(name) <= length else f"{name[: half - 1]}…{name[-half:]}"
