import time

import keras
import numpy as np
import pytest
import threadpoolctl

from keras_pdecnn import layers, ops
from keras_pdecnn.stability import operator_norm

PADDINGS = ["same", "periodic"]
every_padding = pytest.mark.parametrize("padding", PADDINGS)

# kernel size, size of the image, number of random kernels
CASES = {
    "1-D": ((3,), (16,), 30),
    "1-D, wide": ((9,), (12,), 20),
    "1-D, image smaller than kernel": ((9,), (3,), 10),
    "2-D": ((3, 3), (5, 8), 20),
    "2-D, 12 pixels": ((3, 3), (12, 13), 10),
    "2-D, unequal": ((5, 1), (7, 6), 10),
    "2-D, one pixel": ((3, 3), (1, 1), 10),
    "3-D": ((3, 3, 3), (4, 3, 5), 8),
    "3-D, frames": ((3, 1, 3), (6, 2, 5), 8),
}
every_case = pytest.mark.parametrize(("size", "shape", "count"), CASES.values(), ids=CASES)


def dense_norm(kernel, shape, padding):
    """Return the largest singular value of the matrix of the convolution."""
    entries = int(np.prod(shape)) * kernel.shape[-2]
    columns = ops.convolve(np.eye(entries).reshape(entries, *shape, kernel.shape[-2]), kernel, padding)
    return np.linalg.norm(np.asarray(columns).reshape(entries, -1), 2)


def random_kernels(rng, size, count):
    """Yield kernels with one to three channels and filters, some of them nearly of rank one, of all magnitudes."""
    for i in range(count):
        c, filters = rng.integers(1, 4, 2)
        noise = rng.normal(size=(*size, c, filters))
        smooth = np.ones_like(noise) * rng.normal(size=filters)
        yield 10.0 ** rng.integers(-8, 8) * (noise if i % 3 else smooth + 0.05 * noise)


def embed(stencil, *shape):
    """Return a kernel (*size, c, filters) from stencils, given for each channel and filter."""
    return np.asarray(stencil, float).reshape(shape)


FORWARD_X = [[0, 0, 0], [0, -1, 0], [0, 1, 0]]
FORWARD_Y = [[0, 0, 0], [0, -1, 1], [0, 0, 0]]
LAPLACIAN = np.zeros((3, 3, 3))
LAPLACIAN[1, 1, :] = LAPLACIAN[1, :, 1] = LAPLACIAN[:, 1, 1] = 1
LAPLACIAN[1, 1, 1] = -6
ONE_HOT = np.zeros((3, 3, 2, 3))
ONE_HOT[0, 2, 1, 1] = -3

# kernel, norm for every size of image, by hand
STRUCTURED = {
    "central difference": (embed([-0.5, 0, 0.5], 3, 1, 1), 1.0),
    "forward difference": (embed([0, -1, 1], 3, 1, 1), 2.0),
    "gradient": (np.stack([embed(FORWARD_X, 3, 3, 1), embed(FORWARD_Y, 3, 3, 1)], axis=-1), 8**0.5),
    "divergence": (np.stack([embed(FORWARD_X, 3, 3, 1), embed(FORWARD_Y, 3, 3, 1)], axis=-2), 8**0.5),
    "Laplacian": (embed(LAPLACIAN, 3, 3, 3, 1, 1), 12.0),
    "constant": (np.full((3, 3, 2, 3), 0.1), 0.9 * 6**0.5),
    "constant, wide": (np.ones((7, 1, 1)), 7.0),
    "one-hot": (ONE_HOT, 3.0),
    "pointwise": (embed([3, 0, 0, -4], 1, 1, 2, 2), 4.0),
    "zero": (np.zeros((3, 3, 2, 3)), 0.0),
}
every_structure = pytest.mark.parametrize(("kernel", "norm"), STRUCTURED.values(), ids=STRUCTURED)


@every_padding
@every_case
def test_bounds_enclose_the_dense_norm(rng, size, shape, count, padding):
    for kernel in random_kernels(rng, size, count):
        true = dense_norm(kernel, shape, padding)
        settings = {"padding": padding, "axes": len(size)}
        assert operator_norm(kernel, **settings) >= true
        assert operator_norm(kernel, shape=shape, **settings) >= true * (1 - 1e-14)
        lower = operator_norm(kernel, bound="lower", shape=shape, **settings)
        assert 0.97 * true <= lower <= true * (1 + 1e-14)
        if padding == "periodic":
            assert operator_norm(kernel, shape=shape, **settings) <= true * (1 + 1e-11)
        elif min(shape) >= 12 and max(size) == 3:
            assert operator_norm(kernel, shape=shape, **settings) <= 1.05 * true


@every_case
def test_bounds_for_every_size_are_close(rng, size, shape, count):
    for kernel in random_kernels(rng, size, min(count, 10)):
        upper = operator_norm(kernel, axes=len(size))
        # Zeros around the image of the power iteration cost up to 2 % more than the 2 % of the grid.
        assert 0.98 * upper / 1.02 <= operator_norm(kernel, "periodic", "lower", axes=len(size)) <= upper
        assert 0.95 * upper <= operator_norm(kernel, "same", "lower", axes=len(size)) <= upper


@pytest.mark.parametrize("shape", [(12, 12, 12), (13, 12, 12)])
def test_bound_on_a_periodic_volume_is_its_norm(rng, shape):
    kernel = rng.normal(size=(3, 3, 3, 1, 2))
    true = dense_norm(kernel, shape, "periodic")
    assert true * (1 - 1e-14) <= operator_norm(kernel, "periodic", shape=shape) <= 1.001 * true
    assert true <= operator_norm(kernel) <= 1.05 * true


@every_structure
def test_structured_kernels(kernel, norm):
    assert norm <= operator_norm(kernel) <= 1.02 * norm + 1e-15
    assert 0.94 * norm <= operator_norm(kernel, bound="lower") <= norm
    # The maxima are at multiples of a quarter turn, which 12 points contain.
    shape = (12,) * (kernel.ndim - 2)
    assert abs(operator_norm(kernel, "periodic", shape=shape) - norm) <= 1e-12 * norm
    assert norm * (1 - 1e-6) <= operator_norm(kernel, "periodic", "lower", shape=shape) <= norm


@pytest.mark.parametrize("n", range(8, 41))
@pytest.mark.parametrize("radius", [1, 3])
def test_maximum_between_points_of_a_grid(n, radius):
    # Rotations by j pi / n move the maximum of a constant stencil halfway between two points of the grid.
    angles = np.arange(-radius, radius + 1) * np.pi / n
    kernel = np.moveaxis([[np.cos(angles), -np.sin(angles)], [np.sin(angles), np.cos(angles)]], -1, 0)
    norm = 2 * radius + 1
    assert operator_norm(kernel, "periodic", shape=(n,)) < norm - 1e-3
    assert norm <= operator_norm(kernel) <= 1.02 * norm


def test_kernel_of_a_block_has_one_norm_per_step_and_field(rng):
    block = layers.HamiltonianBlock(steps=3)
    block.build((None, 8, 8, 4))
    block.kernel.assign(rng.normal(size=block.kernel.shape))
    found = operator_norm(block.kernel)
    assert found.shape == (3, 2)
    assert found[2, 1] == operator_norm(block.kernel[2, 1]) == operator_norm(np.asarray(block.kernel)[2, 1])
    assert isinstance(operator_norm(block.kernel[2, 1]), float)
    assert np.array_equal(operator_norm(block.kernel, bound="lower"), operator_norm(block.kernel, bound="lower"))
    assert operator_norm(rng.normal(size=(2, 1, 3, 2, 2)), axes=1).shape == (2, 1)
    assert operator_norm(rng.normal(size=(4, 3, 3, 2, 2)), axes=2).shape == (4,)


@pytest.mark.parametrize("bound", ["upper", "lower"])
@pytest.mark.parametrize("power", [-500, 500])
def test_magnitude_does_not_matter(rng, bound, power):
    kernel = rng.normal(size=(3, 3, 2, 2))
    assert operator_norm(np.ldexp(kernel, power), bound=bound) == np.ldexp(operator_norm(kernel, bound=bound), power)


def test_low_precision_kernels_are_exact(rng):
    kernel = keras.ops.cast(rng.normal(size=(3, 3, 2, 2)), "bfloat16")
    assert operator_norm(kernel) == operator_norm(np.asarray(kernel, np.float64))


def test_wide_kernels_take_little_time(rng):
    kernel = rng.normal(size=(3, 3, 128, 128))
    # One thread's own time: threads that wait for a busy machine would count.
    with threadpoolctl.threadpool_limits(1):
        start = time.process_time()
        upper = operator_norm(kernel)
        assert time.process_time() - start < 5
        lower = operator_norm(kernel, bound="lower")
    assert lower <= upper <= np.sqrt(9) * 2 * np.sqrt(128) * 1.1


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_kernels_that_are_not_finite_are_refused(value):
    kernel = np.ones((3, 3, 2, 2))
    kernel[1, 2, 0, 1] = value
    with pytest.raises(ValueError, match=r"finite.*Received: kernel of shape \(3, 3, 2, 2\) with 1 entries"):
        operator_norm(kernel)


@pytest.mark.parametrize(
    ("shape", "settings", "message"),
    [
        ((3, 3), {}, r"Received: kernel of shape \(3, 3\)"),
        ((1,) * 8, {}, "Received: kernel of shape"),
        ((3, 1, 3, 2, 2), {}, r"set axes. Received: kernel of shape \(3, 1, 3, 2, 2\)"),
        ((3, 3, 2), {"axes": 2}, r"Received: kernel of shape \(3, 3, 2\)"),
        ((3, 3, 0, 2), {}, r"none empty. Received: kernel of shape \(3, 3, 0, 2\)"),
        ((2, 3, 2, 2), {}, r"Received: kernel_size=\(2, 3\)"),
        ((3, 3, 2, 2), {"axes": 4}, "Received: axes=4"),
        ((3, 3, 2, 2), {"axes": True}, "Received: axes=True"),
        ((3, 3, 2, 2), {"padding": "valid"}, "Received: padding='valid'"),
        ((3, 3, 2, 2), {"bound": "both"}, "Received: bound='both'"),
        ((3, 3, 2, 2), {"shape": (8,)}, r"Received: shape=\(8,\)"),
        ((3, 3, 2, 2), {"shape": (8, 0)}, "Received: shape=0"),
    ],
)
def test_wrong_arguments_are_refused(shape, settings, message):
    with pytest.raises(ValueError, match=message):
        operator_norm(np.ones(shape), **settings)


def test_what_is_no_array_is_refused():
    with pytest.raises(ValueError, match="Received: kernel='kernel'"):
        operator_norm("kernel")


def test_complex_kernels_are_refused():
    with pytest.raises(ValueError, match="must be an array of numbers"):
        operator_norm(1j * np.ones((3, 3, 2, 2)))
