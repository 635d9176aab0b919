"""Draw the test accuracy of the four networks over the share of the training data (Figure 2 of the paper).

python examples/figures/accuracy_over_data.py FILE.npz FOLDER [SETTING=VALUE …]

FILE.npz has the arrays x_train, y_train, x_test and y_test. Each network is trained on 10, 20, 40 and 80 % of the
training examples, with the same number of epochs. The runs lie in FOLDER; those that are there already are not trained
again. The picture is FOLDER/accuracy_over_data.png. Settings are those of a recipe, such as epochs=5 or widths=16,32.
"""

import json
import pathlib
import sys

import keras_pdecnn as pde
from keras_pdecnn.plotting.style import clear_frame, network_styles
from keras_pdecnn.recipes import for_source
from keras_pdecnn.runs import RunFolder

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

SHARES = (0.1, 0.2, 0.4, 0.8)


def write_share(source, target, share):
    """Write a file with a share of the training examples, the same share of each class, and all test examples."""
    with np.load(source) as file:
        arrays = dict(file)
    rng = np.random.default_rng(0)
    labels = arrays["y_train"].ravel()
    members = (rng.permutation(np.flatnonzero(labels == label)) for label in np.unique(labels))
    kept = np.sort(np.concatenate([indices[: round(share * len(indices))] for indices in members]))
    np.savez(target, **{**arrays, "x_train": arrays["x_train"][kept], "y_train": arrays["y_train"][kept]})


def accuracy(source, folder, architecture, share, settings):
    """Return the test accuracy of a network that was trained on a share of the data."""
    run = RunFolder(folder / f"{architecture}-{share}")
    if not run.metrics.exists():
        data = folder / f"{share}.npz"
        if not data.exists():
            write_share(source, data, share)
        recipe = for_source(str(data), architecture=architecture).with_settings(validation=0.0, **settings)
        pde.training.run(recipe, run.path, resume=run.is_begun(), verbose=0)
    return run.read_metrics()["accuracy"]


def draw(results):
    """Return the figure for {architecture: [accuracy for each share]}."""
    figure = Figure(figsize=(5.2, 3.8), dpi=150, layout="constrained")
    axes = figure.subplots()
    for name, style in network_styles(results).items():
        axes.plot(SHARES, results[name], marker=style.marker, color=style.color, label=style.label)
    axes.set_xlabel("share of the training data")
    axes.set_ylabel("test accuracy")
    axes.xaxis.set_major_formatter(PercentFormatter(1.0))
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    axes.set_xticks(SHARES)
    axes.legend(frameon=False)
    clear_frame(axes)
    return figure


def main(source, folder, *words):
    """Train what is missing, print a table and draw the picture."""
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    settings = {}
    for word in words:
        name, _, value = word.partition("=")
        settings[name] = json.loads(f"[{value}]") if "," in value else json.loads(value)
    results = {}
    print("| network | " + " | ".join(f"{100 * share:.0f} %" for share in SHARES) + " |")
    print("|---|" + "---|" * len(SHARES))
    for name in pde.models.ARCHITECTURES:
        results[name] = [accuracy(source, folder, name, share, settings) for share in SHARES]
        cells = " | ".join(f"{100 * value:.1f}" for value in results[name])
        print(f"| {name} | {cells} |", flush=True)
    draw(results).savefig(folder / "accuracy_over_data.png")


if __name__ == "__main__":
    main(*sys.argv[1:])
