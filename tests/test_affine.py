"""Scale, shift and activation after a normalisation, where TensorFlow computes them in one operation."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers.graphs import nodes, types_by_operation

from keras_pdecnn import layers
from keras_pdecnn.ops import general_layer
from keras_pdecnn.ops.backend import primitives
from keras_pdecnn.ops.backend.tensorflow import runtime
from keras_pdecnn.ops.normalization import NORMALIZATIONS
from keras_pdecnn.ops.normalization import normalization as find_normalization

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


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_gradients_in_half_precision_are_sums_in_float32(dtype, normalization):
    """Their sums over 90,000 pixels exceed the largest number of float16."""
    u, weight = tf.ones((1, 300, 300, 2), dtype), tf.ones(2, dtype)
    sigma_of_n = find_normalization(normalization)
    scale = weight if sigma_of_n.has_scale else None
    a, of_u, of_scale, of_bias = sigma_of_n.pull_back(
        sigma_of_n.normalized(u), u, scale, weight, keras.activations.relu
    )
    assert a.dtype == of_u.dtype == dtype
    if normalization == "shrinkage":  # p = (2, 2), r = 1/3, r (v - n <n, v>) = 1/27, which loses digits
        np.testing.assert_allclose(of_bias, 9e4 / 27, rtol=0.1)
    else:
        np.testing.assert_allclose(of_bias, 9e4, rtol=1e-6)
    assert of_bias.dtype == tf.float32
    if scale is not None:
        np.testing.assert_allclose(of_scale, 9e4 * (1 / np.sqrt(2.001) if normalization == "tv" else 1), rtol=1e-2)
        assert of_scale.dtype == tf.float32


@pytest.mark.parametrize("size", [4, None])
def test_forward_mode_in_a_graph(rng, size):
    block = layers.HamiltonianBlock(2)
    y, tangent = (tf.constant(rng.normal(size=(2, 4, 4, 4)), "float32") for _ in range(2))
    block(y)

    def derivative(y):
        with tf.autodiff.ForwardAccumulator(y, tangent) as accumulator:
            value = block(y)
        return accumulator.jvp(value)

    shape = tf.TensorSpec((None, size, size, 4))
    np.testing.assert_allclose(tf.function(derivative, input_signature=[shape])(y), derivative(y), atol=1e-5)


@pytest.mark.parametrize("normalization", ["tv", "scale"])
def test_weights_of_general_layers_as_arrays(rng, normalization):
    y, inner, outer = (tf.constant(rng.normal(size=s), "float32") for s in ((2, 5, 5, 2), (3, 3, 2, 4), (3, 3, 4, 2)))
    settings = {"activation": keras.activations.relu, "normalization": normalization}
    vector = rng.normal(size=4)
    expected = general_layer(y, inner, outer, tf.constant(vector, "float32"), **settings)
    np.testing.assert_array_equal(general_layer(y, inner, outer, vector, **settings), expected)
    one = general_layer(y, inner, outer, tf.ones(4), **settings)
    np.testing.assert_allclose(general_layer(y, inner, outer, 1.0, **settings), one, rtol=1e-5, atol=1e-6)


def graph_of_gradient(**settings):
    """Return the graph of the gradient of a block of two steps."""
    block = layers.HamiltonianBlock(2, **settings)
    y = tf.ones((2, 4, 4, 4), block.compute_dtype)
    block(y)

    @tf.function
    def gradient(y):
        with tf.GradientTape() as tape:
            value = block(y)
        return tape.gradient(value, block.trainable_variables[0].value)

    return gradient.get_concrete_function(y).graph.as_graph_def()


def test_one_operation_on_a_cpu_in_float32_only(monkeypatch):
    names = {"FusedBatchNormV3", "FusedBatchNormGradV3"}
    monkeypatch.setattr(runtime, "has_accelerator", lambda: False)
    assert names <= set(types_by_operation(graph_of_gradient(dtype="float32")))
    assert not names & set(types_by_operation(graph_of_gradient(dtype="float64")))
    monkeypatch.setattr(runtime, "has_accelerator", lambda: True)
    assert not names & set(types_by_operation(graph_of_gradient(dtype="float32")))


@pytest.mark.parametrize("backprop", ["checkpointed", "reversible"])
@pytest.mark.parametrize(("stored_steps", "count"), [(0, 8), (1, 6), (2, 4)])
def test_steps_that_are_not_undone_keep_the_lengths_of_pixels(backprop, stored_steps, count):
    graph = graph_of_gradient(backprop=backprop, stored_steps=stored_steps)
    assert [node.op for node in nodes(graph)].count("Rsqrt") == count
