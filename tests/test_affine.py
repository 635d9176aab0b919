"""Scale, shift and activation after a normalisation, where TensorFlow computes them in one operation."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers.graphs import types_by_operation

from keras_pdecnn import layers
from keras_pdecnn.ops.backend import primitives
from keras_pdecnn.ops.backend.tensorflow import runtime

SHAPES = [(3, 7, 5), (2, 4, 5, 6), (2, 3, 4, 2, 16), (0, 4, 4, 3)]
ACTIVATIONS = [keras.activations.relu, keras.activations.tanh]


def by_hand(activation, u, scale, bias):
    p = u * scale if bias is None else u * scale + bias
    return tf.nn.relu(p) if activation is keras.activations.relu else tf.tanh(p)


def derivatives(function, operands, v):
    """Return the value, its gradients, and those of the squared length of the latter."""
    with tf.GradientTape() as outer:
        outer.watch(operands)
        with tf.GradientTape() as inner:
            inner.watch(operands)
            value = function(*operands)
        gradients = inner.gradient(value, operands, output_gradients=v)
        length = tf.add_n([tf.reduce_sum(gradient**2) for gradient in gradients])
    second = outer.gradient(length, operands, unconnected_gradients="zero")
    return [value, *gradients, *second]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("has_bias", [True, False])
def test_value_and_derivatives(rng, shape, activation, has_bias):
    u, v = (rng.normal(size=shape) for _ in range(2))
    vectors = [rng.normal(size=shape[-1]) for _ in range(1 + has_bias)]

    def results(function, dtype):
        operands = [tf.constant(x, dtype) for x in (u, *vectors)]
        apply = lambda u, scale, bias=None: function(activation, u, scale, bias)  # noqa: E731
        return derivatives(apply, operands, tf.constant(v, dtype))

    found, expected = results(primitives.activated, "float32"), results(by_hand, "float64")
    for x, y in zip(found, expected, strict=True):
        assert x.shape == y.shape
        np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_gradients_in_half_precision_are_sums_in_float32(dtype):
    u, scale = tf.ones((1, 100, 100, 2), dtype), tf.ones(2, dtype)
    with tf.GradientTape() as tape:
        tape.watch(scale)
        value = primitives.activated(keras.activations.relu, u, scale)
    assert value.dtype == dtype
    np.testing.assert_allclose(tf.cast(tape.gradient(value, scale), "float32"), 1e4, rtol=1e-2)


def operations(dtype):
    """Return the kinds of operation in the graph of a gradient."""
    block = layers.HamiltonianBlock(2, backprop="stored", dtype=dtype)
    y = tf.ones((2, 4, 4, 4), dtype)
    block(y)

    @tf.function
    def gradient(y):
        with tf.GradientTape() as tape:
            value = block(y)
        return tape.gradient(value, block.trainable_variables[0].value)

    return types_by_operation(gradient.get_concrete_function(y).graph.as_graph_def())


def test_one_operation_on_a_cpu_in_float32_only(monkeypatch):
    names = {"FusedBatchNormV3", "FusedBatchNormGradV3"}
    assert names <= set(operations("float32"))
    assert not names & set(operations("float64"))
    monkeypatch.setattr(runtime, "has_accelerator", lambda: True)
    assert not names & set(operations("float32"))


@pytest.mark.parametrize("backprop", ["checkpointed", "reversible"])
def test_lengths_of_pixels_are_kept(backprop):
    block = layers.HamiltonianBlock(2, backprop=backprop, stored_steps=2)
    y = tf.ones((2, 4, 4, 4))
    block(y)

    @tf.function
    def gradient(y):
        with tf.GradientTape() as tape:
            value = block(y)
        return tape.gradient(value, block.trainable_variables[0].value)

    graph = gradient.get_concrete_function(y).graph
    assert [operation.type for operation in graph.get_operations()].count("Rsqrt") == 4  # two per step
