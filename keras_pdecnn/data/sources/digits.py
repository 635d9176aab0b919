"""The handwritten digits that come with scikit-learn."""

import numpy as np

from keras_pdecnn.data.sources.raw import Raw
from keras_pdecnn.data.splits import stratified_split

_TEST = 360


def read():
    """Return 1,797 digits of 8 x 8 pixels, values 0..16; 360 of them, stratified by class, are the test part."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    x, y = digits.images[..., np.newaxis].astype(np.uint8), digits.target
    train, test = stratified_split(y, _TEST, "digits")
    return Raw("digits", "digits", x[train], y[train], x[test], y[test])
