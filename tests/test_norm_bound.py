import keras
import ml_dtypes
import numpy as np
import pytest
import tensorflow as tf

from keras_pdecnn.ops import norm_bound
from keras_pdecnn.ops.norms import unit_roundoff
from keras_pdecnn.stability import operator_norm

# What the grid of the tensor may add, and that of the number, which is at most 2 % too large.
CASES = [
    ((3,), 4, 4, 1.25),
    ((3, 3), 1, 1, 1.15),
    ((3, 3), 6, 6, 1.2),
    ((1, 1), 5, 3, 1.05),
    ((5, 3), 3, 8, 1.2),
    ((3, 3), 40, 24, 1.25),
    ((3, 3, 3), 3, 4, 1.2),
]


def structured(rng, shape):
    """Return kernels that are no typical random ones: one entry, one rank, an orthogonal one, a difference, smooth."""
    *size, c, filters = shape
    centre = tuple(n // 2 for n in size)
    single, orthogonal, difference = np.zeros(shape), np.zeros(shape), np.zeros(shape)
    single[(0,) * len(shape)] = 1.0
    orthogonal[centre] = np.linalg.qr(rng.normal(size=(max(c, filters), max(c, filters))))[0][:c, :filters]
    difference[centre], difference[(0,) * len(size)] = 1.0, -1.0
    return [single, orthogonal, difference, np.ones(shape), rng.normal(size=(c, filters)) * np.ones(shape)]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("size", "c", "filters", "factor"), CASES)
def test_it_is_above_the_norm_and_close_to_it(rng, size, c, filters, factor, dtype):
    kernels = [rng.normal(size=(*size, c, filters)) for _ in range(20)] + structured(rng, (*size, c, filters))
    kernels = np.stack(kernels).astype(dtype)
    found = norm_bound(kernels, axes=len(size))
    assert found.shape == (25,)
    assert keras.backend.standardize_dtype(found.dtype) == dtype
    # A periodic image whose size none of the grids has: its norm is exact.
    exact = operator_norm(kernels, "periodic", shape=tuple(13 if n > 1 else 1 for n in size), axes=len(size))
    assert np.all(found >= exact * (1 - 1e-12))
    assert np.all(found <= factor * operator_norm(kernels, axes=len(size)))


def test_it_is_homogeneous_over_all_sizes_of_numbers(rng):
    kernel = rng.normal(size=(3, 3, 8, 8)).astype("float32")
    expected = float(norm_bound(kernel))
    for scale in (1e-30, 1e-8, 1e8, 1e30):
        assert float(norm_bound(np.float32(scale) * kernel)) / scale == pytest.approx(expected, rel=1e-5)


def test_fewer_or_more_squarings_and_points(rng):
    kernel = rng.normal(size=(3, 3, 16, 16))
    norm = operator_norm(kernel, bound="lower")
    found = [
        float(norm_bound(kernel, tolerance=t, squarings=k)) for t, k in [(0.14, 0), (0.14, 2), (0.02, 2), (0.02, 6)]
    ]
    assert np.all(np.diff(found) < 0)
    assert norm <= found[-1] <= 1.03 * norm


@pytest.mark.parametrize("shape", [(3, 3, 4, 4), (3, 3, 2, 5), (3, 3, 1, 1)])
def test_gradient_is_that_of_differences(rng, shape):
    kernel = tf.Variable(rng.normal(size=(2, *shape)))
    direction = rng.normal(size=kernel.shape)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(norm_bound(kernel, axes=2) * [1.0, 2.0])
    slope = np.sum(tape.gradient(loss, kernel) * direction)
    ahead, behind = (tf.reduce_sum(norm_bound(kernel + s * direction, axes=2) * [1.0, 2.0]) for s in (1e-6, -1e-6))
    assert slope == pytest.approx(float(ahead - behind) / 2e-6, rel=1e-5)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_zeros(dtype):
    """A kernel of zeros, and a difference, whose symbol is 0 at one of the frequencies."""
    difference = np.zeros((3, 3, 4, 4))
    difference[1, 1], difference[0, 1] = np.eye(4), -np.eye(4)
    kernel = tf.Variable(np.stack([np.zeros((3, 3, 4, 4)), difference]), dtype=dtype)
    with tf.GradientTape() as tape:
        found = norm_bound(kernel, axes=2)
    gradient = tape.gradient(found, kernel).numpy()
    assert found[0] == 0
    assert 2 <= found[1] < 2.4
    assert np.all(np.isfinite(gradient))
    # Euler's theorem for homogeneous functions.
    assert np.sum(gradient[1] * kernel[1]) == pytest.approx(float(found[1]), rel=1e-4)


@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize("steps", [2, 6])
def test_graph_and_xla(rng, steps, jit_compile):
    kernel = tf.Variable(rng.normal(size=(steps, 1, 3, 3, 4, 4)), dtype="float32")

    def value_and_gradient():
        with tf.GradientTape() as tape:
            found = norm_bound(kernel, axes=2)
        return found, tape.gradient(found, kernel)

    expected = value_and_gradient()
    found = tf.function(value_and_gradient, jit_compile=jit_compile)()
    assert found[0].shape == (steps, 1)
    for a, b in zip(found, expected, strict=True):
        assert np.allclose(a, b, rtol=1e-4, atol=1e-5)


def test_half_precision_is_widened(rng):
    kernel = tf.cast(rng.normal(size=(3, 3, 4, 4)), "bfloat16")
    assert norm_bound(kernel).dtype == tf.float32
    assert float(norm_bound(kernel)) == pytest.approx(float(norm_bound(tf.cast(kernel, "float32"))))


def test_unit_roundoff_is_half_the_distance_from_1_to_the_next_number():
    for dtype in ("bfloat16", "float16", "float32", "float64"):
        assert unit_roundoff(dtype) == float(ml_dtypes.finfo(dtype).eps) / 2


def test_tensor_cores_round_the_factors_of_products(monkeypatch):
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind=None: [kind])
    monkeypatch.setattr(tf.config.experimental, "tensor_float_32_execution_enabled", lambda: True)
    assert unit_roundoff("float32") == 2**-10
    assert unit_roundoff("float32", products=False) == 2**-24
    assert unit_roundoff("float64") == 2**-53
