import keras
import numpy as np
import pytest

from keras_pdecnn import layers, models
from keras_pdecnn.initializers import ConstantInTime

SHAPE = (4, 2, 3, 3, 8, 8)


def test_constant_in_time():
    kernel = ConstantInTime("he_normal")(SHAPE).numpy()
    np.testing.assert_array_equal(kernel, np.broadcast_to(kernel[:1], SHAPE))


def test_time_is_no_part_of_the_fan():
    """The sample deviation of n values has a relative error of 1 / sqrt(2 n): here 0.2 %; four of them are allowed."""
    c, filters = 64, 256
    kernel = ConstantInTime("he_normal")((5, 1, 3, 3, c, filters)).numpy()[0]
    assert abs(kernel.std() / np.sqrt(2 / (9 * c)) - 1) < 0.008


@pytest.mark.parametrize(
    "initializer",
    [
        "he_normal",
        "orthogonal",
        keras.initializers.HeNormal(seed=3),
        keras.initializers.RandomUniform(seed=keras.random.SeedGenerator(3)),
    ],
)
def test_fields_differ(initializer):
    kernel = ConstantInTime(initializer)(SHAPE).numpy()
    assert np.mean(np.abs(kernel[:, 0] - kernel[:, 1])) > 0.5 * np.mean(np.abs(kernel))


def test_same_seed_same_values():
    first, second = (ConstantInTime(keras.initializers.HeNormal(seed=3))(SHAPE) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_other_seed_other_values():
    first, second = (ConstantInTime(keras.initializers.HeNormal(seed=seed))(SHAPE).numpy() for seed in (3, 5))
    assert np.all(first[:, 0] != second[:, 0])


def test_global_seed_governs():
    draws = []
    for _ in range(2):
        keras.utils.set_random_seed(7)
        draws.append(ConstantInTime("he_normal")(SHAPE))
    np.testing.assert_array_equal(*draws)


def test_initializers_of_other_shapes_are_refused():
    for name in ("stft", "identity"):
        with pytest.raises(ValueError, match=r"Received: shape=\(3, 3, 8, 8\)"):
            ConstantInTime(name)(SHAPE)


def test_a_function_is_an_initializer():
    assert np.all(ConstantInTime(lambda shape, dtype: keras.ops.full(shape, 2.0, dtype))(SHAPE) == 2)


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
def test_type(dtype):
    assert ConstantInTime("he_normal")(SHAPE, dtype=dtype).dtype == dtype


def test_config_gives_the_initializer_back():
    original = ConstantInTime(keras.initializers.HeNormal(seed=3))
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(original))
    assert isinstance(copy, ConstantInTime)
    np.testing.assert_array_equal(copy(SHAPE), original(SHAPE))


@pytest.mark.parametrize("initializer", ["unknown", 3, None])
def test_refuses(initializer):
    with pytest.raises(ValueError, match=f"Received: initializer={initializer!r}"):
        ConstantInTime(initializer)


@pytest.mark.parametrize("policy", ["float16", "bfloat16"])
def test_layers_of_half_precision_start_orthogonal(policy):
    """TensorFlow itself has no QR decomposition in these types."""
    y = keras.ops.ones((1, 4, 4, 2))
    settings = {"kernel_initializer": "orthogonal", "dtype": policy}
    for layer in (
        layers.Connector(2, pool_size=1, **settings),
        layers.SymmetricConv(kernel_size=1, **settings),
        layers.ParabolicBlock(2, kernel_size=1, **settings),
    ):
        layer.build(y.shape)
        assert layer.kernel.dtype == policy
        kernel = np.asarray(keras.ops.cast(layer.kernel, "float64")).reshape(-1, 2, 2)
        for matrix in kernel:
            np.testing.assert_allclose(matrix.T @ matrix, np.eye(len(matrix.T)), atol=0.02)
    keras.config.set_dtype_policy(policy)
    network = models.ParabolicCNN((4, 4, 1), 3, widths=(2,), steps=1, provable=True)
    assert network(keras.ops.ones((2, 4, 4, 1))).shape == (2, 3)
