"""Messages show what was received, and have an end."""

import inspect

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_pdecnn import constraints, data, explain, layers, models, operators, regularizers, stability, tuning
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


OF_KERAS = {"name", "trainable", "compile", "tunable"}


def cases():
    """Yield (function, its arguments, names of those that may be wrong) for everything that checks its arguments."""
    network = models.ParabolicCNN((8, 8, 1), 2, widths=(4,), steps=1)
    examples = np.zeros((2, 8, 8, 1), "float32")
    yield Recipe, {}, None
    yield tuning.PDEHyperModel, {"input_shape": (8, 8, 1), "classes": 2}, None
    yield layers.HamiltonianBlock, {"steps": 2}, None
    for layer in (layers.Connector, layers.BoundedConnector):
        yield layer, {"filters": 3}, None
    yield layers.SymmetricConv, {}, None
    yield layers.TVNormalization, {}, None
    yield layers.NormalizedDense, {"units": 3}, None
    yield constraints.Box, {"minimum": -1, "maximum": 1}, None
    yield regularizers.TimeSmoothness, {"total_variation": 1.0, "decay": 1.0, "step_size": 1.0}, None
    names = ("input_shape", "widths", "head_width", "steps", "step_size", "box", "pooling", "provable", "lipschitz")
    yield models.HamiltonianCNN, {"input_shape": (8, 8, 1), "classes": 2, "widths": (4,)}, names
    yield explain.smooth_grad, {"model": network, "x": examples, "classes": 1}, ("classes", "samples", "noise")
    yield explain.follow, {"model": network, "x": examples}, ("perturbation",)
    yield operators.summary, {"stencil": np.ones((3, 3, 1, 1))}, ("axes",)
    yield stability.attack, {"model": network, "x": examples, "y": 1, "epsilon": 1.0}, ("epsilon", "norm", "steps")
    yield stability.step_limit, {}, ("block",)


def test_an_array_in_place_of_any_argument_is_taken_or_refused():
    array, wrong = np.zeros((1000, 8, 8, 1)), []
    for function, settings, names in cases():
        for name in names or set(inspect.signature(function).parameters) - OF_KERAS - {"block_kwargs", "layer_kwargs"}:
            try:
                made = function(**{**settings, name: array})
                if isinstance(made, keras.Layer) and not made.built:
                    made.build((2, 6, 6, 4))
            except ValueError as error:
                if "Received: " not in str(error) or len(str(error)) > 800:
                    wrong.append((function.__name__, name, str(error)[:200]))
    assert wrong == []
