"""Draw the validation accuracy of several runs over the epochs (Figure 3 of the paper).

python examples/figures/validation_accuracy.py PICTURE.png RUN …

RUN is the folder of a run of `keras-pdecnn train` with a validation part.
"""

import sys

from keras_pdecnn.plotting.style import clear_frame, network_styles
from keras_pdecnn.runs import RunFolder

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter


def draw(histories):
    """Return the figure for {architecture: list of validation accuracies, one per epoch}."""
    figure = Figure(figsize=(5.2, 3.8), dpi=150, layout="constrained")
    axes = figure.subplots()
    for name, style in network_styles(histories).items():
        axes.plot(range(1, len(histories[name]) + 1), histories[name], color=style.color, label=style.label)
    axes.set_xlabel("epoch")
    axes.set_ylabel("validation accuracy")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    axes.legend(frameon=False)
    clear_frame(axes)
    return figure


def main(picture, *paths):
    """Draw the picture."""
    runs = [RunFolder(path) for path in paths]
    draw({run.read_config()[0].architecture: run.read_history()["val_accuracy"] for run in runs}).savefig(picture)


if __name__ == "__main__":
    main(*sys.argv[1:])
