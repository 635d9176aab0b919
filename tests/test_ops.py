import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_pdecnn import ops
from keras_pdecnn.ops.backend import primitives
from keras_pdecnn.ops.normalization import NORMALIZATIONS

# Space axes and kernel sizes; in the last two the periodic stencil is longer than an axis.
GRIDS = [
    ((7,), (5,)),
    ((5, 6), (3, 3)),
    ((5, 6), (1, 5)),
    ((3, 4, 5), (3, 1, 3)),
    ((2,), (7,)),
    ((2, 1), (7, 5)),
]
PADDINGS = ["same", "periodic"]


def convolve_by_hand(y, kernel, padding):
    """Convolve as the formula says, one entry of the stencil after the other."""
    stencil = kernel.shape[:-2]
    width = [(0, 0), *((size // 2, size // 2) for size in stencil), (0, 0)]
    padded = np.pad(y, width, mode="constant" if padding == "same" else "wrap")
    out = np.zeros((*y.shape[:-1], kernel.shape[-1]))
    for offset in np.ndindex(*stencil):
        window = tuple(slice(start, start + size) for start, size in zip(offset, y.shape[1:-1], strict=True))
        out += padded[:, *window] @ kernel[offset]
    return out


def relative_error(a, b):
    return np.max(np.abs(np.asarray(a) - b)) / np.max(np.abs(b))


@pytest.fixture
def operands(rng, grid):
    space, stencil = grid
    return rng.normal(size=(2, *space, 3)), rng.normal(size=(2, *space, 4)), rng.normal(size=(*stencil, 3, 4))


@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("grid", GRIDS)
def test_convolution_is_the_sum_over_the_stencil(operands, padding):
    y, _, kernel = operands
    assert relative_error(ops.convolve(y, kernel, padding), convolve_by_hand(y, kernel, padding)) < 1e-13


@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("grid", GRIDS)
def test_adjoint_identity(operands, padding):
    y, x, kernel = operands
    left = np.sum(ops.convolve(y, kernel, padding) * x)
    right = np.sum(y * ops.adjoint_convolve(x, kernel, padding))
    assert abs(left - right) <= 1e-12 * abs(left)


@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("grid", GRIDS)
def test_convolution_on_axes_known_at_run_time(operands, padding):
    y, x, kernel = operands
    unknown = [None] * (y.ndim - 1)

    @tf.function(
        input_signature=[tf.TensorSpec([*unknown, 3], tf.float64), tf.TensorSpec([*unknown, 4], tf.float64)],
    )
    def both(y, x):
        return ops.convolve(y, kernel, padding), ops.adjoint_convolve(x, kernel, padding)

    convolved, adjoint = both(y, x)
    assert relative_error(convolved, convolve_by_hand(y, kernel, padding)) < 1e-13
    assert abs(np.sum(convolved * x) - np.sum(y * adjoint)) <= 1e-12 * abs(np.sum(convolved * x))


@pytest.mark.parametrize("grid", GRIDS[:1])
def test_adjoint_of_the_adjoint_is_the_convolution(operands):
    kernel = operands[2]
    np.testing.assert_array_equal(ops.adjoint_kernel(ops.adjoint_kernel(kernel)), kernel)


def test_periodic_convolution_commutes_with_shifts(rng):
    y, kernel = rng.normal(size=(1, 6, 5, 2)), rng.normal(size=(3, 3, 2, 2))
    shifted = ops.convolve(np.roll(y, (2, 3), (1, 2)), kernel, "periodic")
    assert relative_error(shifted, np.roll(ops.convolve(y, kernel, "periodic"), (2, 3), (1, 2))) < 1e-13


def test_convolution_ignores_the_global_image_format(rng):
    y, kernel = rng.normal(size=(1, 6, 5, 2)), rng.normal(size=(3, 3, 2, 2))
    keras.config.set_image_data_format("channels_first")
    assert relative_error(ops.convolve(y, kernel), convolve_by_hand(y, kernel, "same")) < 1e-13


# Ten roundings to bfloat16: a processor without AVX-512 also adds in it.
@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-13), ("bfloat16", 10 / 2**8)])
@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("grid", [*GRIDS, ((2, 3, 2), (3, 3, 3))])
def test_gradient_of_the_convolution(operands, padding, dtype, tolerance):
    y, x, kernel = operands

    def gradient(convolve, dtype):
        inputs = [tf.cast(y, dtype), tf.cast(kernel, dtype)]
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            out = convolve(*inputs, padding)
        return tape.gradient(out, inputs, output_gradients=tf.cast(x, dtype))

    for found, expected in zip(gradient(primitives.convolve, dtype), gradient(ops.convolve, "float64"), strict=True):
        assert found.dtype == dtype
        assert relative_error(tf.cast(found, "float64"), expected) < tolerance


def test_convolution_of_no_examples_has_its_shape(rng):
    assert ops.convolve(np.zeros((0, 5, 6, 3), "float32"), np.ones((3, 3, 3, 4), "float32")).shape == (0, 5, 6, 4)


def test_tv_normalization_formula(rng):
    u = rng.normal(size=(2, 4, 5, 3))
    expected = u / np.sqrt(np.sum(u**2, axis=-1, keepdims=True) + 1e-2)
    assert relative_error(ops.tv_normalize(u, 1e-2), expected) < 1e-14


def test_tv_normalization_is_smooth_at_zero():
    u = tf.zeros((1, 2, 2, 3), tf.float64)
    with tf.GradientTape() as tape:
        tape.watch(u)
        total = tf.reduce_sum(ops.tv_normalize(u, 1e-3))
    np.testing.assert_allclose(tape.gradient(total, u), 1e-3**-0.5, rtol=1e-12)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_tv_normalization_of_half_precision_does_not_overflow(dtype):
    u = keras.ops.full((1, 2, 2, 64), 300.0, dtype=dtype)
    normalized = ops.tv_normalize(u)
    assert normalized.dtype == dtype
    np.testing.assert_allclose(keras.ops.cast(normalized, "float32"), 0.125, rtol=1e-2)


def field_by_hand(y, inner, outer, scale, bias, normalization, padding, epsilon=1e-3):
    u = convolve_by_hand(y, inner, padding)
    if normalization == "shrinkage":
        p = np.maximum(u + bias, 0)
        return convolve_by_hand(p / np.sqrt(1 + np.sum(p**2, axis=-1, keepdims=True)), outer, padding)
    if normalization == "tv":
        u = u / np.sqrt(np.sum(u**2, axis=-1, keepdims=True) + epsilon)
    if normalization == "scale":
        scale = np.maximum(scale, 0)
    return convolve_by_hand(np.tanh(u * scale + bias), outer, padding)


@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize("normalization", NORMALIZATIONS)
def test_general_layer_formula(rng, normalization, padding, plain):
    y, inner, outer = rng.normal(size=(2, 5, 4, 3)), rng.normal(size=(3, 3, 3, 6)), rng.normal(size=(3, 3, 6, 3))
    scale, bias = rng.normal(size=6), rng.normal(size=6)
    expected = field_by_hand(y, inner, outer, scale, bias, normalization, padding)
    shrinks = normalization == "shrinkage"
    settings = {"activation": keras.ops.relu if shrinks else keras.ops.tanh, "normalization": normalization}
    scale = None if shrinks else scale
    actual = ops.general_layer(y, inner, outer, scale, bias, padding=padding, plain=plain, **settings)
    assert relative_error(actual, expected) < 1e-13


def test_symmetric_layer_is_minus_the_adjoint_after_the_activation(rng):
    y, kernel, bias = rng.normal(size=(2, 5, 4, 3)), rng.normal(size=(3, 3, 3, 6)), rng.normal(size=6)
    mirrored = kernel[::-1, ::-1].swapaxes(-1, -2)
    expected = field_by_hand(y, kernel, -mirrored, 1.0, bias, "tv", "same")
    assert relative_error(ops.symmetric_layer(y, kernel, bias=bias, activation=keras.ops.tanh), expected) < 1e-13


@pytest.mark.parametrize("padding", PADDINGS)
def test_symmetric_layer_without_normalization_is_monotone(rng, padding):
    x, y, kernel = rng.normal(size=(2, 5, 4, 3)), rng.normal(size=(2, 5, 4, 3)), rng.normal(size=(3, 3, 3, 6))
    settings = {"activation": keras.ops.relu, "normalization": None, "padding": padding}
    change = ops.symmetric_layer(x, kernel, **settings) - ops.symmetric_layer(y, kernel, **settings)
    assert np.sum(change * (x - y)) < 0


def test_jacobian_of_the_symmetric_layer_is_symmetric(rng):
    y, kernel = tf.constant(rng.normal(size=(1, 3, 3, 2))), rng.normal(size=(3, 3, 2, 2))
    with tf.GradientTape() as tape:
        tape.watch(y)
        out = ops.symmetric_layer(y, kernel, activation=keras.ops.tanh, normalization=None)
    jacobian = tf.reshape(tape.jacobian(out, y), (18, 18)).numpy()
    assert relative_error(jacobian, jacobian.T) < 1e-13
    assert np.max(np.linalg.eigvalsh(jacobian)) < 1e-13


def test_what_cannot_be_done_is_refused():
    y, field = keras.ops.ones((1, 4, 4, 2)), ops.Field(keras.activations.relu)
    euler, theta = ops.forward_euler, {"kernel": keras.ops.ones((3, 1, 3, 3, 2, 2))}
    with pytest.raises(ValueError, match="Received: padding='valid'"):
        ops.convolve(y, theta["kernel"][0, 0], "valid")
    with pytest.raises(ValueError, match="Received: backprop='luck'"):
        ops.propagate(euler, field, theta, 0.1, (y,), backprop="luck")
    with pytest.raises(ValueError, match="Received: integrator='forward Euler'"):
        ops.propagate(euler, field, theta, 0.1, (y,), backprop="reversible")
    with pytest.raises(ValueError, match="Received: integrator='forward Euler'"):
        ops.undo(euler, field, theta, 0.1, (y,))
