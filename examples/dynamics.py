"""Energy and growth of a perturbation in the four networks: three pictures for the docs, and a table.

    python examples/dynamics.py [FOLDER]

dynamics.png: trained on the digits with the paper's layers, ReLU after the TV normalisation, h = 1.
dynamics_monotone.png: trained with tanh and without normalisation, for which the parabolic theorem holds.
dynamics_linear.png: linear layers as they are drawn, constant in time and not trained, for which the hyperbolic
networks conserve an energy.
"""

import dataclasses
import pathlib
import sys

from keras_pdecnn import explain, plotting, stability, training
from keras_pdecnn.models import ARCHITECTURES
from keras_pdecnn.recipes import Recipe

import numpy as np

PAPER = Recipe(epochs=(5, 2), learning_rates=(0.05, 0.005))
MONOTONE = dataclasses.replace(PAPER, activation="tanh", normalization=None, steps=8, step_size=0.1)
LINEAR = dataclasses.replace(MONOTONE, activation="linear", steps=60, step_size=0.2)


def ends(values) -> str:
    """Return the median over the examples at the last step, with the smallest and the largest."""
    return f"{np.median(values[-1]):.3g} ({values[-1].min():.3g} to {values[-1].max():.3g})"


folder = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "docs")
dataset = training.load_data(PAPER)
x, _ = training.spread(dataset.test, dataset.info.sizes["test"], count=60)
print("| picture | network | accuracy | block | h / limit | norm | distance | energy changes by |")
print("|---|---|---|---|---|---|---|---|")
for name, recipe in (("dynamics", PAPER), ("dynamics_monotone", MONOTONE), ("dynamics_linear", LINEAR)):
    found = {}
    for architecture in ARCHITECTURES:
        chosen = dataclasses.replace(recipe, architecture=architecture)
        model = training.compile(training.build(chosen, dataset.info), chosen, dataset.steps_per_epoch)
        accuracy = "-"
        if recipe is not LINEAR:
            training.fit(model, dataset, chosen, verbose=0)
            accuracy = f"{100 * training.evaluate(model, dataset.test)['accuracy']:.1f} %"
        found[architecture] = explain.follow(model, x)
        for block, seen in zip(model.blocks, found[architecture], strict=True):
            limited = architecture != "residual" and recipe is not PAPER
            ratio = f"{np.max(block.step_size / stability.step_limit(block)):.2f}" if limited else "-"
            energy = "-" if seen.energy is None else f"{np.abs(seen.energy / seen.energy[:1] - 1).max():.1e}"
            cells = [
                name,
                architecture,
                accuracy,
                block.name,
                ratio,
                ends(seen.relative_norm),
                ends(seen.growth),
                energy,
            ]
            print("| " + " | ".join(cells) + " |", flush=True)
    plotting.dynamics(found).savefig(folder / f"{name}.png")
