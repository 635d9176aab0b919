"""Pictures of kernels: their entries over time, and the differential operators that they consist of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter
from numpy.typing import ArrayLike

from keras_pdecnn.plotting.style import BLUE, DPI, GREY, MARKED, ORANGE, WIDTH, clear_frame, some_steps

_GROUPS = {"reaction": BLUE, "convection": ORANGE, "diffusion": "#009e73", "higher": "#cc79a7"}
_RANDOM = {1: (0.39, 0.22, 0.39), 2: (0.21, 0.17, 0.36, 0.27)}  # shares of independent entries, by number of axes


def theta(kernels: ArrayLike | Mapping[str, ArrayLike], step_size: float, entries: int = 12) -> Figure:
    """Draw entries of the kernel of a block over time, as the block uses them: theta_j from t_j = j h to t_{j+1}.

    The choice of the entries does not depend on their values, so that networks can be compared; `kernel_entries` draws
    the entries that vary most.

    Args:
        kernels: `theta()["kernel"]` of a block, of shape (steps, fields, *kernel_size, c, filters); or several arrays
            of one shape by their titles, which are drawn side by side.
        step_size: Step size h of the block.
        entries: Number of entries, at equal distances in the kernel and the same in each panel; default 12.

    Returns:
        The figure.

    Example:
        >>> block = keras_pdecnn.layers.ParabolicBlock(steps=3)
        >>> block.build((None, 8, 8, 4))
        >>> theta(block.theta()["kernel"], block.step_size).savefig("theta.png")
    """
    panels = kernels if isinstance(kernels, Mapping) else {"": kernels}
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
            line.set_color(colormaps["viridis"](i / max(1, len(lines) - 1)))
        axes.set_title(title, fontsize=10)
        axes.set_xlabel("time t")
        axes.set_xlim(0, step_size * steps)
        clear_frame(axes)
    figure.axes[0].set_ylabel("entries of theta(t)")
    return figure


def kernel_entries(kernel: ArrayLike, name: str = "", count: int = 8) -> Figure:
    """Draw entries of the kernel of a block over its steps: those that vary most in colour, some others in grey.

    Args:
        kernel: Array of shape (steps, fields, *kernel_size, c, filters).
        name: Title of the figure; default none.
        count: Number of entries in colour; default 8.

    Returns:
        The figure, with a panel for each field.

    Example:
        >>> kernel_entries(np.random.default_rng(0).normal(size=(4, 1, 3, 3, 2, 2))).savefig("kernel.png")
    """
    kernel = np.asarray(kernel, float)
    steps, fields = kernel.shape[:2]
    figure = Figure(figsize=(WIDTH, 0.7 + 1.9 * fields), dpi=DPI, layout="constrained")
    panels = figure.subplots(fields, 1, squeeze=False, sharex=True, sharey=True)[:, 0]
    marker = "." if steps <= MARKED else None
    for field, axes in enumerate(panels):
        entries = kernel[:, field].reshape(steps, -1)
        variation = np.abs(np.diff(entries, axis=0)).sum(axis=0)
        order = np.argsort(-variation, kind="stable")
        some = np.unique(np.linspace(0, len(order) - 1, min(60, len(order))).astype(int))
        axes.plot(entries[:, order[some]], color=GREY, linewidth=0.6, alpha=0.6)
        for index in order[:count]:
            axes.plot(entries[:, index], marker=marker, linewidth=1.2)
        axes.set_ylabel("kernel entry" + (f", K{field + 1}" if fields > 1 else ""))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        clear_frame(axes)
    panels[-1].set_xlabel("step")
    figure.suptitle(name, fontsize=10)
    return figure


def operator_shares(rows: Sequence[tuple[str, Mapping[str, float]]]) -> Figure:
    """Draw the shares of reaction, convection, diffusion and higher orders in kernels, as stacked bars.

    Args:
        rows: Pairs (label, shares), one per bar, with the shares by group that `operators.summary` returns.

    Returns:
        The figure. Its last bar is a kernel of independent random entries, for comparison.

    Example:
        >>> shares = keras_pdecnn.operators.summary(np.ones((3, 3, 1, 1)))
        >>> operator_shares([("mean", shares)]).savefig("shares.png")
    """
    groups = list(rows[0][1])
    random = dict(zip(groups, _RANDOM[1 if len(groups) < 4 else 2], strict=True))
    rows = [*rows, ("random kernel", random)]
    figure = Figure(figsize=(WIDTH, 1.2 + 0.26 * len(rows)), dpi=DPI, layout="constrained")
    axes = figure.subplots()
    left = np.zeros(len(rows))
    for group in groups:
        ink = "white" if group in ("reaction", "diffusion") else "black"
        values = np.array([shares[group] for _, shares in rows])
        axes.barh(range(len(rows)), values, left=left, color=_GROUPS[group], label=group, height=0.75)
        for y, (value, start) in enumerate(zip(values, left, strict=True)):
            if value > 0.08:
                axes.text(start + value / 2, y, f"{100 * value:.0f}", ha="center", va="center", color=ink, fontsize=8)
        left += values
    axes.axhline(len(rows) - 1.5, color="black", linewidth=0.8)
    axes.set_yticks(range(len(rows)), [label for label, _ in rows], fontsize=8)
    axes.invert_yaxis()
    axes.set_xlim(0, max(1, left.max()))
    axes.xaxis.set_major_formatter(PercentFormatter(1.0))
    axes.tick_params(length=2)
    axes.spines[["top", "right", "left"]].set_visible(False)
    figure.legend(loc="outside upper center", ncols=len(groups), frameon=False, fontsize=8, columnspacing=1)
    return figure


def operator_maps(shares: Mapping[str, np.ndarray], name: str = "") -> Figure:
    """Draw the share of each group of operators in the stencil of every pair of channels, over the steps.

    Args:
        shares: Arrays of shape (steps, c, filters) by group: one field of `operators.shares`.
        name: Title of the figure; default none.

    Returns:
        The figure, with a row for each group and a column for each step. A row of a map is an input channel, a column a
        filter.

    Example:
        >>> shares = keras_pdecnn.operators.shares(np.ones((4, 1, 3, 3, 2, 2)))
        >>> operator_maps({group: values[:, 0] for group, values in shares.items()}).savefig("maps.png")
    """
    steps = some_steps(len(next(iter(shares.values()))))
    figure = Figure(figsize=(WIDTH, 0.8 + 0.75 * len(shares)), dpi=DPI, layout="constrained")
    panels = figure.subplots(len(shares), len(steps), squeeze=False)
    for row, (group, values) in zip(panels, shares.items(), strict=True):
        row[0].set_ylabel(group, fontsize=8)
        for axes, j in zip(row, steps, strict=True):
            image = axes.imshow(values[j], cmap="viridis", vmin=0, vmax=1, aspect="auto", interpolation="nearest")
            axes.set_xticks([])
            axes.set_yticks([])
            if row is panels[0]:
                axes.set_title(f"step {j}", fontsize=8)
    bar = figure.colorbar(image, ax=panels, fraction=0.05, format=PercentFormatter(1.0))
    bar.ax.tick_params(labelsize=7)
    figure.suptitle(name, fontsize=10)
    return figure
