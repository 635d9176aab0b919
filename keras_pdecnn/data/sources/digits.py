"""The handwritten digits that come with scikit-learn."""

import numpy as np

from keras_pdecnn.data.sources.raw import Raw
from keras_pdecnn.data.splits import stratified_split
from keras_pdecnn.data.stored import Rows

_TEST = 360


def read(in_memory: bool | None = None) -> Raw:
    """Return 1,797 digits of 8 x 8 pixels, values 0..16; 360 of them, stratified by class, are the test part.

    Args:
        in_memory: False for taking rows from the arrays as from larger ones; default None, they are held by TensorFlow.
    """
    from sklearn.datasets import load_digits

    digits = load_digits()
    x, y = digits.images[..., np.newaxis].astype(np.uint8), digits.target
    examples = Rows(x) if in_memory is False else x
    train, test = stratified_split(y, _TEST, "digits")
    return Raw("digits", "digits", examples[train], y[train], examples[test], y[test], max_value=16.0)
