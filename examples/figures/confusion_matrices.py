"""Draw the confusion matrices of several runs side by side (Figure 4 of the paper).

python examples/figures/confusion_matrices.py PICTURE.png RUN …

RUN is the folder of a finished run of `keras-pdecnn train`. `keras-pdecnn train` itself draws the matrix of one run.
"""

import sys

from keras_pdecnn.plotting import confusion_matrices
from keras_pdecnn.runs import RunFolder


def main(picture, *paths):
    """Draw the picture."""
    matrices, names = {}, ()
    for run in map(RunFolder, paths):
        recipe, info = run.read_config()
        matrices[recipe.architecture] = run.read_metrics()["confusion_matrix"]
        names = info.class_names
    confusion_matrices(matrices, names).savefig(picture)


if __name__ == "__main__":
    main(*sys.argv[1:])
