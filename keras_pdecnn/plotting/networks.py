"""Pictures of what happens inside networks: dynamics, features over time, weights over time, kernels as operators."""

from __future__ import annotations

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from keras_pdecnn.plotting.style import BLUE, DPI, GREY, MARKERS, ORANGE, WIDTH, shown_slice

_OTHERS = (BLUE, "#000000", "#56b4e9", "#8c564b")  # networks of other names
_GROUPS = {"reaction": BLUE, "convection": ORANGE, "diffusion": "#009e73", "higher": "#cc79a7"}
_RANDOM = {1: (0.39, 0.22, 0.39), 2: (0.21, 0.17, 0.36, 0.27)}  # kernels of independent entries, by space axes
_MARKED = 25  # up to so many steps each has its marker
_COLUMNS = 5  # times or steps side by side; of more, some at equal distances are shown


def dynamics(networks: dict[str, list]) -> Figure:
    """Draw the norm of the features and the growth of a perturbation over the steps of every block.

    The line is the median over the examples, the band reaches from the smallest to the largest. Both quantities are 1
    at the input of a block.

    Args:
        networks: For each network by name, one object per block with name, relative_norm and growth, both of shape
            (steps + 1, n), as `explain.follow` returns. The networks have the same number of blocks.

    Returns:
        The figure: a column per block.

    Example:
        >>> network = keras_pdecnn.models.ParabolicCNN((8, 8, 1), classes=2, widths=(4,))
        >>> blocks = keras_pdecnn.explain.follow(network, np.ones((5, 8, 8, 1)))
        >>> dynamics({"parabolic": blocks}).savefig("dynamics.png")
    """
    columns = len(next(iter(networks.values())))
    size = (0.8 + (WIDTH - 0.8) * columns, 4.4 + 0.3 * (len(networks) > 1))
    figure = Figure(figsize=size, dpi=DPI, layout="constrained")
    panels = figure.subplots(2, columns, squeeze=False, sharex="col", sharey="row")
    others = iter(_OTHERS)
    styles = {name: MARKERS[name] if name in MARKERS else ("o", next(others, GREY)) for name in networks}
    quantities = {"relative_norm": "norm ‖y(t)‖ / ‖y(0)‖", "growth": "distance ‖y′−y‖(t) / ‖y′−y‖(0)"}
    for row, (key, label) in zip(panels, quantities.items(), strict=True):
        drawn = [np.asarray(getattr(block, key)) for blocks in networks.values() for block in blocks]
        row[0].set_ylabel(label, fontsize=9)
        row[0].set_yscale(_scale(np.concatenate([values.ravel() for values in drawn])))
        for column, axes in enumerate(row):
            axes.axhline(1, color=GREY, linewidth=1)
            for name, blocks in networks.items():
                marker, color = styles[name]
                values = np.asarray(getattr(blocks[column], key))
                steps, middle = range(len(values)), np.median(values, axis=1)
                marked = marker if len(values) <= _MARKED else None
                axes.plot(steps, middle, marker=marked, markersize=4, color=color, label=name.replace("_", "-"))
                axes.fill_between(steps, values.min(axis=1), values.max(axis=1), color=color, alpha=0.15, linewidth=0)
            axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
            _plain(axes)
    for column, axes in enumerate(panels[0]):
        axes.set_title(next(iter(networks.values()))[column].name.replace("_", " "), fontsize=10)
        panels[1, column].set_xlabel("step")
    if len(networks) > 1:
        handles, labels = panels[0, 0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=len(networks), frameon=False)
    return figure


def energy(values, name: str) -> Figure:
    """Draw the discrete energy of a block over its steps, relative to its start, a line for each example.

    Args:
        values: Energies, shape (steps + 1, n), see `explain.conserved_energy`.
        name: Title of the figure.

    Returns:
        The figure.

    Example:
        >>> energy(np.ones((4, 5)), "Block 1").savefig("energy.png")
    """
    values = np.asarray(values) / values[:1]
    figure = Figure(figsize=(WIDTH, 2.4), dpi=DPI, layout="constrained")
    axes = figure.subplots()
    axes.plot(values, color=BLUE, linewidth=1)
    axes.set_ylim(min(0.9, np.nanmin(values)), max(1.1, np.nanmax(values)))  # rounding errors are a straight line
    axes.set_xlabel("step")
    axes.set_ylabel("energy E(t) / E(0)")
    axes.set_title(name, fontsize=10)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    _plain(axes)
    return figure


def trajectory(features, channels: int = 3) -> Figure:
    """Draw some channels of the features of one example over time.

    The channels are those that change most from the first to the last step; each has one scale for all times.

    Args:
        features: Shape (steps + 1, *space, channels), one to three space axes.
        channels: Number of channels; default 3.

    Returns:
        The figure: a row per channel, a column per time.

    Example:
        >>> block = keras_pdecnn.layers.ParabolicBlock(steps=3)
        >>> trajectory(block.trajectory(np.ones((1, 8, 8, 4)))[:, 0]).savefig("trajectory.png")
    """
    features = np.asarray(features, float)
    times = some_steps(len(features))
    change = np.abs(features[-1] - features[0]).reshape(-1, features.shape[-1]).sum(axis=0)
    picked = np.sort(np.argsort(-change, kind="stable")[:channels])
    figure = Figure(figsize=(WIDTH, 0.4 + 3.4 / len(times) * len(picked)), dpi=DPI, layout="constrained")
    panels = figure.subplots(len(picked), len(times), squeeze=False, sharey="row")
    for row, channel in zip(panels, picked, strict=True):
        low, high = features[..., channel].min(), features[..., channel].max()
        row[0].set_ylabel(f"channel {channel}", fontsize=8)
        for axes, j in zip(row, times, strict=True):
            value = shown_slice(features[j, ..., channel])
            if value.ndim == 1:
                axes.plot(value, linewidth=0.7, color=BLUE)
                axes.set_xmargin(0)
            else:
                axes.imshow(value, cmap="gray", vmin=low, vmax=high)
            axes.set_xticks([])
            axes.set_yticks([])
            if channel == picked[0]:
                axes.set_title(f"step {j}", fontsize=8)
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
        >>> block = keras_pdecnn.layers.ParabolicBlock(steps=3)
        >>> block.build((None, 8, 8, 4))
        >>> theta(block.theta()["kernel"], block.step_size).savefig("theta.png")
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
            line.set_color(colormaps["viridis"](i / max(1, len(lines) - 1)))
        axes.set_title(title, fontsize=10)
        axes.set_xlabel("time t")
        axes.set_xlim(0, step_size * steps)
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    figure.axes[0].set_ylabel("entries of theta(t)")
    return figure


def kernel_entries(kernel, name: str = "", count: int = 8) -> Figure:
    """Draw entries of the kernel of a block over its steps: in colour those that vary most, in grey some others.

    Args:
        kernel: Shape (steps, fields, *kernel_size, c, filters), time on axis 0.
        name: Title of the figure; default none.
        count: Number of entries in colour; default 8.

    Returns:
        The figure: a panel per field.

    Example:
        >>> kernel_entries(np.random.default_rng(0).normal(size=(4, 1, 3, 3, 2, 2))).savefig("kernel.png")
    """
    kernel = np.asarray(kernel, float)
    steps, fields = kernel.shape[:2]
    figure = Figure(figsize=(WIDTH, 0.7 + 1.9 * fields), dpi=DPI, layout="constrained")
    panels = figure.subplots(fields, 1, squeeze=False, sharex=True, sharey=True)[:, 0]
    marker = "." if steps <= _MARKED else None
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
        _plain(axes)
    panels[-1].set_xlabel("step")
    figure.suptitle(name, fontsize=10)
    return figure


def operator_shares(rows: list[tuple[str, dict]]) -> Figure:
    """Draw how much of kernels is reaction, convection, diffusion and of higher order, as stacked bars.

    Args:
        rows: (label, shares) with the shares by group, as `operators.summary` returns them.

    Returns:
        The figure; its last bar is a kernel of independent random entries, to compare with.

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


def operator_maps(shares: dict, name: str = "") -> Figure:
    """Draw for every pair of channels how much of its stencil belongs to each group, over the steps.

    Args:
        shares: By group, arrays (steps, c, filters): one field of `operators.shares`.
        name: Title of the figure; default none.

    Returns:
        The figure: a row per group, a column per step; a row of a map is an input channel, a column a filter.

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


def some_steps(count: int) -> list[int]:
    """Return the first and the last of `count` steps, and some between at equal distances."""
    return np.unique(np.linspace(0, count - 1, min(count, _COLUMNS)).round().astype(int)).tolist()


def _scale(values) -> str:
    """Return "log" where values differ by more than a factor of 10, as far as they are positive and finite."""
    values = values[np.isfinite(values) & (values > 0)]
    return "log" if values.size and values.max() > 10 * values.min() else "linear"


def _plain(axes):
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
