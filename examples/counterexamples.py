"""Draw what the paper's theorems on stability do not cover: docs/counterexamples.png.

python examples/counterexamples.py [file]
"""

import sys

from keras_pdecnn import layers

import keras
import numpy as np
from matplotlib.figure import Figure

keras.config.set_dtype_policy("float64")


def solve(block, start, time, steps, **settings):
    """Return the times and the solutions from each start, (steps + 1, starts, channels), with K = 1."""
    layer = block(steps, time / steps, kernel_size=1, use_bias=False, **settings)
    layer.build((None, 1, len(start[0])))
    layer.kernel.assign(np.broadcast_to(np.eye(layer.kernel.shape[-1]), layer.kernel.shape))
    states = np.asarray(layer.trajectory(np.array(start, float)[:, None]))
    return np.linspace(0, time, steps + 1), states[:, :, 0]


def distance(y):
    return np.linalg.norm(y[:, 0] - y[:, 1], axis=-1)


figure = Figure(figsize=(13, 4), dpi=120, layout="constrained")
plane, apart, drift = figure.subplots(1, 3)

pair = [[1.0, -0.14], [1.0, -0.15]]
for label, color, settings in [
    ("ReLU after N_tv (the paper's)", "C3", {"normalization": "tv"}),
    ("N_tv alone", "C1", {"normalization": "tv", "activation": "linear"}),
    ("ReLU alone", "C2", {"normalization": None}),
    ("shrinkage after ReLU", "C0", {"normalization": "shrinkage"}),
]:
    t, y = solve(layers.ParabolicBlock, pair, 1.2, 240, **settings)
    style = "--" if color == "C0" else "-"
    apart.plot(t, distance(y) / distance(y)[0], style, color=color, label=label)
    print(f"{label}: the distance grows {distance(y).max() / distance(y)[0]:.3f} times")
apart.set(title="Distance of two solutions of y' = -f(y)", xlabel="t", ylabel="relative to t = 0")
apart.axhline(1, color="grey", linewidth=0.8, linestyle=":")

starts = [[1.0, -second] for second in (0.02, 0.06, 0.1, 0.14, 0.18, 0.22)]
_, y = solve(layers.ParabolicBlock, starts, 1.2, 240, normalization="tv")
for j in range(len(starts)):
    plane.plot(y[:, j, 0], y[:, j, 1], color="C3", linewidth=1)
for step in (0, 60, 120, 180, 220):
    plane.plot(y[step, :, 0], y[step, :, 1], "o-", color="C4", markersize=3)
    plane.text(y[step, -1, 0], -0.24, f"{step / 200:g}", ha="center", fontsize=8)
plane.set(
    title="y' = -relu(N_tv(y)): fronts at five times t",
    xlabel="first channel",
    ylabel="second channel",
    ylim=(-0.25, 0),
)

for label, color, settings in [("relu", "C3", {}), ("identity", "C2", {"activation": "linear"})]:
    t, y = solve(layers.SecondOrderBlock, [[1.0]], 15.0, 600, normalization=None, **settings)
    drift.plot(t, y[:, 0, 0], color=color, label=f"y'' = -y, {label}" if settings else "y'' = -relu(y)")
    print(f"second order, {label}: y(15) = {y[-1, 0, 0]:.2f}")
t, y = solve(layers.HamiltonianBlock, [[-1.0, 1.0]], 15.0, 600, normalization=None)
drift.plot(t, y[:, 0, 0], "--", color="C3", label="y' = -relu(z), z' = relu(y)")
print(f"Hamiltonian, relu: y(15) = {y[-1, 0, 0]:.2f}")
drift.set(title="ReLU has no restoring force below 0", xlabel="t", ylabel="y")
for axes in (plane, apart, drift):
    if axes is not plane:
        axes.legend(fontsize=8)
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
figure.savefig(sys.argv[1] if len(sys.argv) > 1 else "counterexamples.png")
