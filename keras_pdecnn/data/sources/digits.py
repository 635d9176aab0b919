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
    return divide("digits", digits.images[..., np.newaxis].astype(np.uint8), digits.target, in_memory)


def divide(name: str, x: np.ndarray, y: np.ndarray, in_memory: bool | None, **facts) -> Raw:
    """Return the data set of this name, with examples made of the digits; 360, stratified by class, are the test part.

    Args:
        name: Name of the data set.
        x: Examples, one for each digit, values 0..16.
        y: Labels, shape (n,).
        in_memory: See `read`.
        **facts: Further arguments of `Raw`.
    """
    examples = Rows(x) if in_memory is False else x
    train, test = stratified_split(y, _TEST, name)
    return Raw(name, name, examples[train], y[train], examples[test], y[test], max_value=16.0, **facts)
