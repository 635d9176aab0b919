"""Pictures of searches."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator, PercentFormatter

from keras_pdecnn.networks import NETWORKS
from keras_pdecnn.plotting.style import GREY, clear_frame, network_styles


def search(trials: Sequence[Mapping[str, Any]], metric: str = "validation accuracy", in_percent: bool = True) -> Figure:
    """Draw the trials of a search: validation accuracy over trials, depth, width, step size and number of weights.

    Failed trials are crosses below the others. The line in the last panel is the Pareto front: the networks that are
    more accurate than all others with as few weights or fewer.

    Args:
        trials: One dict per trial, in order, with the keys accuracy (None if the trial failed), architecture, steps,
            width, step_size and weights. A network without a record in `models.NETWORKS` is drawn in a neutral style.
        metric: Name of what stands under accuracy, the larger the better; default "validation accuracy".
        in_percent: Whether it is a fraction that is written in percent; default True.

    Returns:
        The figure.

    Example:
        >>> network = {"architecture": "parabolic", "steps": 3, "width": 8, "step_size": 1.0, "weights": 5000}
        >>> search([{**network, "accuracy": 0.9}]).savefig("search.png")
    """
    figure = Figure(figsize=(12, 7), dpi=120, layout="constrained")
    panels = figure.subplots(2, 3, sharey=True).ravel()
    done = [trial for trial in trials if trial["accuracy"] is not None]
    tried = dict.fromkeys(trial["architecture"] for trial in trials)
    styles = network_styles([*(name for name in NETWORKS if name in tried), *(n for n in tried if n not in NETWORKS)])
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
        for name, style in styles.items():
            of_name = [trial for trial in numbered if trial["architecture"] == name]
            good = [trial for trial in of_name if trial["accuracy"] is not None]
            failed = [trial for trial in of_name if trial["accuracy"] is None]
            x, y = [trial[key] for trial in good], [trial["accuracy"] for trial in good]
            drawn = {"linestyle": "", "color": style.color, "zorder": 3}
            axes.plot(x, y, marker=style.marker, markersize=6, alpha=0.85, label=style.label, **drawn)
            axes.plot([trial[key] for trial in failed], [low - room] * len(failed), marker="x", **drawn)
        axes.set_xlabel(label)
        if key in ("step_size", "weights"):
            axes.set_xscale("log")
            axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axes.xaxis.set_major_formatter("{x:,g}")
            axes.xaxis.set_minor_locator(NullLocator())
        else:
            axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        axes.set_ylim(low - 2 * room, high + room)
        if in_percent:
            axes.yaxis.set_major_formatter(PercentFormatter(1.0))
        clear_frame(axes)
    for axes in (panels[0], panels[3]):
        axes.set_ylabel(metric)
    over_trials, *_, over_weights, legend = panels
    so_far = np.fmax.accumulate([np.nan if t["accuracy"] is None else t["accuracy"] for t in trials] or [np.nan])
    over_trials.plot(range(1, len(so_far) + 1), so_far, color=GREY, drawstyle="steps-post", label="best so far")
    front = pareto_front([(trial["weights"], trial["accuracy"]) for trial in done])
    over_weights.plot(*np.array(front).reshape(-1, 2).T, color="black", linewidth=1, label="Pareto front")
    handles = dict(zip(*reversed(over_trials.get_legend_handles_labels()), strict=True))
    handles |= dict(zip(*reversed(over_weights.get_legend_handles_labels()), strict=True))
    if len(done) < len(trials):
        handles["failed"] = Line2D([], [], color="black", marker="x", linestyle="")
    legend.set_axis_off()
    legend.legend(handles.values(), handles.keys(), loc="center", frameon=False)
    return figure


def pareto_front(points: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return the points whose value is larger than that of every point with the same or a smaller cost.

    Args:
        points: Pairs (cost, value). A smaller cost is better, and so is a larger value.

    Returns:
        List of these pairs, in the order of their cost.

    Example:
        >>> pareto_front([(3, 0.5), (1, 0.2), (2, 0.6)])
        [(1, 0.2), (2, 0.6)]
    """
    front: list[tuple[float, float]] = []
    for cost, value in sorted(points, key=lambda point: (point[0], -point[1])):
        if not front or value > front[-1][1]:
            front.append((cost, value))
    return front
