"""Pictures of the features inside networks over time: their norm, their energy, and the features themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike

from keras_pdecnn.plotting.style import (
    BLUE,
    DPI,
    GREY,
    MARKED,
    WIDTH,
    clear_frame,
    network_styles,
    shown_slices,
    some_steps,
)


class Block(Protocol):
    """A block as `explain.follow` returns it, with `relative_norm` and `growth` of shape (steps + 1, n)."""

    @property
    def name(self) -> str: ...
    @property
    def relative_norm(self) -> np.ndarray: ...
    @property
    def growth(self) -> np.ndarray: ...


def dynamics(networks: Mapping[str, Sequence[Block]]) -> Figure:
    """Draw the norm of the features and the growth of a perturbation over the steps of every block.

    The line is the median over the examples, and the band reaches from the smallest to the largest value. Both
    quantities are 1 at the input of a block.

    Args:
        networks: Lists of blocks by the name of the network, as `explain.follow` returns them: objects with name,
            relative_norm and growth, the last two of shape (steps + 1, n). All networks must have the same number of
            blocks.

    Returns:
        The figure, with a column for each block.

    Example:
        >>> network = keras_pdecnn.models.ParabolicCNN((8, 8, 1), classes=2, widths=(4,))
        >>> blocks = keras_pdecnn.explain.follow(network, np.ones((5, 8, 8, 1)))
        >>> dynamics({"parabolic": blocks}).savefig("dynamics.png")
    """
    columns = len(next(iter(networks.values())))
    size = (0.8 + (WIDTH - 0.8) * columns, 4.4 + 0.3 * (len(networks) > 1))
    figure = Figure(figsize=size, dpi=DPI, layout="constrained")
    panels = figure.subplots(2, columns, squeeze=False, sharex="col", sharey="row")
    styles = network_styles(networks)
    quantities = {"relative_norm": "norm ‖y(t)‖ / ‖y(0)‖", "growth": "distance ‖y′−y‖(t) / ‖y′−y‖(0)"}
    for row, (key, label) in zip(panels, quantities.items(), strict=True):
        drawn = [np.asarray(getattr(block, key)) for blocks in networks.values() for block in blocks]
        row[0].set_ylabel(label, fontsize=9)
        row[0].set_yscale(_scale(np.concatenate([values.ravel() for values in drawn])))
        for column, axes in enumerate(row):
            axes.axhline(1, color=GREY, linewidth=1)
            for name, blocks in networks.items():
                style = styles[name]
                values = np.asarray(getattr(blocks[column], key))
                steps, middle = range(len(values)), np.median(values, axis=1)
                marker = style.marker if len(values) <= MARKED else None
                axes.plot(steps, middle, marker=marker, markersize=4, color=style.color, label=style.label)
                low, high = values.min(axis=1), values.max(axis=1)
                axes.fill_between(steps, low, high, color=style.color, alpha=0.15, linewidth=0)
            axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
            clear_frame(axes)
    for column, axes in enumerate(panels[0]):
        axes.set_title(next(iter(networks.values()))[column].name.replace("_", " "), fontsize=10)
        panels[1, column].set_xlabel("step")
    if len(networks) > 1:
        handles, labels = panels[0, 0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=len(networks), frameon=False)
    return figure


def energy(values: ArrayLike, name: str) -> Figure:
    """Draw the discrete energy of a block over its steps, relative to the energy at its input; one line per example.

    Args:
        values: Energies of shape (steps + 1, n), see `explain.conserved_energy`.
        name: Title of the figure.

    Returns:
        The figure.

    Example:
        >>> energy(np.ones((4, 5)), "Block 1").savefig("energy.png")
    """
    values = np.asarray(values)
    values = values / values[:1]
    figure = Figure(figsize=(WIDTH, 2.4), dpi=DPI, layout="constrained")
    axes = figure.subplots()
    axes.plot(values, color=BLUE, linewidth=1)
    axes.set_ylim(min(0.9, np.nanmin(values)), max(1.1, np.nanmax(values)))  # hides rounding errors
    axes.set_xlabel("step")
    axes.set_ylabel("energy E(t) / E(0)")
    axes.set_title(name, fontsize=10)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    clear_frame(axes)
    return figure


def trajectory(features: ArrayLike, channels: int = 3) -> Figure:
    """Draw some channels of the features of one example over time.

    The channels are those that change most from the first to the last step. Each channel has one scale for all times.

    Args:
        features: Array of shape (steps + 1, *space, channels) with one to three space axes.
        channels: Number of channels that are drawn; default 3.

    Returns:
        The figure, with a row for each channel and a column for each time.

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
            value = shown_slices(features[j, ..., channel])
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


def _scale(values: np.ndarray) -> str:
    """Return "log" if the positive and finite values differ by more than a factor of 10, otherwise "linear"."""
    values = values[np.isfinite(values) & (values > 0)]
    return "log" if values.size and values.max() > 10 * values.min() else "linear"
