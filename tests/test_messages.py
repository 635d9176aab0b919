"""Messages show what was received, and have an end."""

import numpy as np
import pytest
import tensorflow as tf

from keras_pdecnn import data, models
from keras_pdecnn.recipes import Recipe
from keras_pdecnn.utils.arguments import describe


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (3, "3"),
        ("a", "'a'"),
        ((1, None), "(1, None)"),
        (np.zeros((64, 8, 8, 1)), "<ndarray of shape (64, 8, 8, 1) and type float64>"),
        ([np.zeros(3, np.uint8), 2], "[<ndarray of shape (3,) and type uint8>, 2]"),
        ({"x": np.zeros(3, np.int8)}, "{'x': <ndarray of shape (3,) and type int8>}"),
        ([np.zeros(1)] * 100, f"[{'<ndarray of shape (1,) and type float64>, ' * 8}…]"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_values_in_messages(value, text):
    shown = describe(value)
    assert shown == text if len(text) <= 300 else len(shown) < 310 and shown.startswith(text[:200])


def test_long_values_are_cut():
    for value in (list(range(10_000)), "x" * 10_000, {i: i for i in range(10_000)}):
        assert len(describe(value)) < 310
        assert describe(value)[:100] == repr(value)[:100]
    assert "EagerTensor" in describe(tf.zeros((2, 3)))
    assert "(2, 3)" in describe(tf.zeros((2, 3)))


def test_arrays_are_not_printed():
    x, y = np.zeros((1000, 8, 8, 1)), np.zeros(1000, int)
    for call, name in (
        (lambda: data.load((x, y, x)), "source"),
        (lambda: data.load([x, y]), "source"),
        (lambda: Recipe(data=(x, y)), "data"),
        (lambda: data.load("digits", x), "batch_size"),
        (lambda: data.load("digits", size=x), "size"),
        (lambda: data.load("digits", augmentation=x), "augmentation"),
        (lambda: data.load("digits", seed=x), "seed"),
        (lambda: data.load("digits", drop_remainder=x), "drop_remainder"),
        (lambda: Recipe(steps=x), "steps"),
        (lambda: models.ParabolicCNN((8, 8, 1), classes=x), "classes"),
        (lambda: models.ParabolicCNN((8, 8, 1), classes=2, activation=list(range(9999))), "activation"),
    ):
        with pytest.raises(ValueError, match=f"Received: .*{name}=") as caught:
            call()
        assert len(str(caught.value)) < 800
