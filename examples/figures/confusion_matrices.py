"""Draw the confusion matrices of several runs side by side (Figure 4 of the paper).

python examples/figures/confusion_matrices.py PICTURE.png RUN …

RUN is the folder of a finished run of `keras-pdecnn train`. `keras-pdecnn train` itself draws the matrix of one run.
"""

import sys

import numpy as np
from matplotlib.figure import Figure

from keras_pdecnn.networks import label
from keras_pdecnn.plotting.style import short
from keras_pdecnn.runs import RunFolder


def draw(matrices, class_names):
    """Return the figure for {architecture: confusion matrix}, whose cells are percentages of the true class."""
    names = [short(name) for name in class_names]
    size = 1.2 + 0.34 * len(names)
    columns = min(2, len(matrices))
    rows = -(-len(matrices) // columns)
    figure = Figure(figsize=(columns * (size + 0.4), rows * (size + 0.3)), dpi=150, layout="constrained")
    cells = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes, (name, matrix) in zip(cells, matrices.items(), strict=False):
        share = 100 * matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
        axes.imshow(share, cmap="Blues", vmin=0, vmax=100)
        for (i, j), value in np.ndenumerate(share):
            if value >= 0.5:
                color = "white" if value > 50 else "black"
                axes.text(j, i, f"{value:.0f}", ha="center", va="center", color=color, fontsize=7)
        axes.set_xticks(range(len(names)), names, rotation=90, fontsize=7)
        axes.set_yticks(range(len(names)), names, fontsize=7)
        axes.set_title(f"{label(name)}: {100 * np.trace(matrix) / matrix.sum():.1f} %", fontsize=9)
    for axes in cells[len(matrices) :]:
        axes.set_axis_off()
    figure.supylabel("true class", fontsize=9)
    figure.supxlabel("predicted class, in percent of the true class", fontsize=9)
    return figure


def main(picture, *paths):
    """Draw the picture."""
    matrices, names = {}, ()
    for run in map(RunFolder, paths):
        recipe, info = run.read_config()
        matrices[recipe.architecture] = np.array(run.read_metrics()["confusion_matrix"])
        names = info.class_names
    draw(matrices, names).savefig(picture)


if __name__ == "__main__":
    main(*sys.argv[1:])
