"""The report of a benchmark: tables in Markdown, and pictures of memory, time and precision over depth."""

from __future__ import annotations

import json
import os
import pathlib
import statistics
from collections.abc import Callable

from matplotlib.figure import Figure

from keras_pdecnn.plotting.style import clear_frame
from keras_pdecnn.utils.tables import markdown

_COLORS = {"stored": "#e07b00", "checkpointed": "#5a8f29", "reversible": "#3465a4"}


def write(result: dict, folder: str | os.PathLike) -> pathlib.Path:
    """Write report.md, benchmark.json and the pictures of a result of `suite.run` into a folder.

    Returns:
        Path of report.md.
    """
    folder = pathlib.Path(folder)
    (folder / "benchmark.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    machine, rows = result["machine"], result["rows"]
    parts = ["# Benchmark of keras_pdecnn", ", ".join(f"{key}: {value}" for key, value in machine.items())]
    if rows.get("depth"):
        parts += ["## Memory and time over depth", _DEPTH_TEXT, depth_table(rows["depth"])]
        for name, draw in (("memory", draw_memory), ("time", draw_time)):
            draw(rows["depth"]).savefig(folder / f"{name}.png")
            parts.append(f"![{name} over depth]({name}.png)")
    if rows.get("network"):
        parts += ["## Training the CIFAR-10 networks", _NETWORK_TEXT, network_table(rows["network"])]
    if rows.get("precision"):
        parts += ["## Precision over depth", _PRECISION_TEXT, precision_table(rows["precision"])]
        draw_precision(rows["precision"]).savefig(folder / "precision.png")
        parts.append("![relative error of the gradient over depth](precision.png)")
    path = folder / "report.md"
    path.write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    return path


_DEPTH_TEXT = (
    "These are figures of one training step of a block: the gradient with respect to input and weights, batch 8, "
    "64x64, 32 channels. Memory is the peak above the level before the step, less the bytes of the weights' gradients. "
    "Overhead is the time of tracing and of the first step beyond an ordinary step. Values marked ~ are extrapolated "
    "linearly from the two deepest blocks measured."
)
_NETWORK_TEXT = (
    "SGD with momentum, batch 125, 32x32 images. The values are medians over fresh processes that take turns, with the "
    "range in parentheses."
)
_PRECISION_TEXT = (
    "This is the relative error of the gradient with respect to input and weights, in the 2-norm, against stored "
    "activations in float64: median of five seeds; tanh, TV normalisation, final time 1. Under a mixed policy the "
    "state is float32 and F is computed in the half type. reversible/16 keeps a state every 16 steps."
)


def memory(row: dict) -> float:
    """Return the peak memory of a row less the gradients of the weights, in MB."""
    return (row["peak_bytes"] - row["gradient_bytes"]) / 1e6


def depth_table(rows: list[dict]) -> str:
    """Return memory, time and overhead over depth as a Markdown table."""
    lines = []
    for block in _distinct(rows, "block"):
        depths = _distinct(rows, "steps")
        for mode in _distinct(rows, "backprop"):
            by_steps = {row["steps"]: row for row in rows if (row["block"], row["backprop"]) == (block, mode)}
            for quantity, unit, value in (
                ("memory", "MB", memory),
                ("time", "s", lambda row: row["step_s"]),
                ("overhead", "s", lambda row: row["first_s"] - row["step_s"]),
            ):
                values = {steps: value(row) for steps, row in by_steps.items()}
                cells = [_cell(values, steps, extrapolate=quantity != "overhead") for steps in depths]
                lines.append([block, mode, f"{quantity}, {unit}", *cells])
    return markdown(["block", "mode", "", *(f"{steps} steps" for steps in _distinct(rows, "steps"))], lines)


def _cell(values: dict, steps: int, extrapolate: bool) -> str:
    if steps in values:
        return f"{values[steps]:.3g}"
    if not extrapolate or len(values) < 2:
        return ""
    a, b = sorted(values)[-2:]
    return f"~{values[b] + (values[b] - values[a]) / (b - a) * (steps - b):.3g}"


def network_table(rows: list[dict], batch: int = 125) -> str:
    """Return images per second and peak memory of training as a Markdown table."""
    lines = []
    for architecture in _distinct(rows, "architecture"):
        for mode in _distinct(rows, "backprop"):
            runs = [row for row in rows if (row["architecture"], row["backprop"]) == (architecture, mode)]
            rates = [batch / row["step_s"] for row in runs]
            peak = statistics.median(row["peak_bytes"] for row in runs) / 1e6
            rate = f"{statistics.median(rates):.0f} ({min(rates):.0f} to {max(rates):.0f})"
            lines.append([architecture, mode, f"{runs[0]['weights']:,}", rate, f"{peak:.0f}"])
    return markdown(["network", "mode", "weights", "images per second", "peak memory, MB"], lines)


def precision_table(rows: list[dict]) -> str:
    """Return the errors of the gradient over depth as a Markdown table."""
    depths = _distinct(rows, "steps")
    lines = []
    for block, policy, mode, every in dict.fromkeys(
        (row["block"], row["policy"], row["backprop"], row["checkpoint_every"]) for row in rows
    ):
        errors = {
            row["steps"]: row["error"]
            for row in rows
            if (row["block"], row["policy"], row["backprop"], row["checkpoint_every"]) == (block, policy, mode, every)
        }
        name = f"{mode}/{every}" if every else mode
        lines.append([block, policy, name, *(f"{errors[n]:.1e}" if n in errors else "" for n in depths)])
    return markdown(["block", "type", "mode", *(f"{steps} steps" for steps in depths)], lines)


def draw_memory(rows: list[dict]) -> Figure:
    """Draw peak memory over depth, a panel per block and a line per mode."""
    return _over_depth(rows, memory, "peak memory of a step, MB")


def draw_time(rows: list[dict]) -> Figure:
    """Draw the time of a step over depth, a panel per block and a line per mode."""
    return _over_depth(rows, lambda row: row["step_s"], "time of a step, s")


def draw_precision(rows: list[dict]) -> Figure:
    """Draw the error of the float32 gradient over depth, a panel per block and a line per mode."""
    return _over_depth(
        [row for row in rows if row["policy"] == "float32"], lambda row: row["error"], "relative error of the gradient"
    )


def _over_depth(rows: list[dict], value: Callable[[dict], float], label: str) -> Figure:
    blocks = _distinct(rows, "block")
    figure = Figure(figsize=(5 * len(blocks), 3.8), dpi=120, layout="constrained")
    panels = figure.subplots(1, len(blocks), sharey=True, squeeze=False)[0]
    for axes, block in zip(panels, blocks, strict=True):
        for mode, every in dict.fromkeys((row["backprop"], row.get("checkpoint_every")) for row in rows):
            line = [
                row
                for row in rows
                if (row["block"], row["backprop"], row.get("checkpoint_every")) == (block, mode, every)
            ]
            axes.loglog(
                [row["steps"] for row in line],
                [value(row) for row in line],
                "o--" if every else "o-",
                color=_COLORS[mode],
                label=f"{mode}, a state every {every} steps" if every else mode,
                markersize=4,
            )
        depths = _distinct(rows, "steps")
        axes.set_xticks(depths, [str(steps) for steps in depths])
        axes.xaxis.minorticks_off()
        axes.set_xlabel("steps")
        axes.set_title(block)
        clear_frame(axes)
    panels[0].set_ylabel(label)
    panels[0].legend(frameon=False)
    return figure


def _distinct(rows: list[dict], key: str) -> list:
    values = dict.fromkeys(row[key] for row in rows)
    return sorted(values) if key == "steps" else list(values)
