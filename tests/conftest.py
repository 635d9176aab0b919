"""What all tests share: two logical devices, exact float32, fixed seeds, and Keras settings that do not leak."""

import gc
import os
import pathlib

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# The networks of the tests are small: more threads than one cost a fifth of the time, here and in the programs that
# tests start. Replicas that wait for each other need two.
os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
os.environ.setdefault("TF_NUM_INTEROP_THREADS", "2")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import settings
from matplotlib.figure import Figure

# Few examples, the same in every run; many with `--hypothesis-profile=thorough --hypothesis-seed=N`.
settings.register_profile("few", max_examples=15, derandomize=True, deadline=None, database=None)
settings.register_profile("thorough", max_examples=300, deadline=None, database=None, print_blob=True)
settings.load_profile("few")

# Logical devices must exist before TensorFlow starts; everything runs on the first unless told otherwise.
_CPU = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(_CPU, [tf.config.LogicalDeviceConfiguration()] * 2)
tf.config.experimental.enable_tensor_float_32_execution(False)


# Files whose tests start programs and take up to a minute each.
LONG = ("test_backends", "test_backends_applications", "test_distribute", "test_resume", "test_tuning")


def pytest_collection_modifyitems(items):
    """Begin with the long tests, so that several workers end at the same time."""
    items.sort(key=lambda item: item.path.stem not in LONG)


def pytest_collection_finish():
    """Keep the garbage collector from looking at TensorFlow's and Keras's modules again and again."""
    gc.freeze()


@pytest.fixture(autouse=True)
def keras_settings():
    """Start every test from the same seeds and the default settings of Keras."""
    keras.utils.set_random_seed(2019)
    yield
    keras.config.set_dtype_policy("float32")
    keras.config.set_floatx("float32")
    keras.config.set_image_data_format("channels_last")


# Files whose tests draw. In the others a picture is an empty file, as drawing takes as long as a training there.
DRAWING = ("test_docs", "test_examples", "test_explain", "test_plotting")


@pytest.fixture(autouse=True)
def pictures(request, monkeypatch):
    """Leave pictures empty, unless the file of a test is one of those that draw or the test is marked `pictures`."""
    if request.path.stem in DRAWING or request.node.get_closest_marker("pictures") is not None:
        return
    draw = Figure.savefig

    def leave_empty(figure, file, **settings):
        if hasattr(file, "write"):  # a part of a page
            draw(figure, file, **settings)
        else:
            pathlib.Path(file).write_bytes(b"")

    monkeypatch.setattr(Figure, "savefig", leave_empty)


@pytest.fixture(autouse=True)
def bfloat16_instructions(monkeypatch):
    """Let "mixed_bfloat16" mean in every test what it means on a processor with instructions for bfloat16."""
    from keras_pdecnn.layers import mixed_precision

    monkeypatch.setattr(mixed_precision, "has_bfloat16", lambda: True)


@pytest.fixture
def rng():
    """Return a random generator with a fixed seed."""
    return np.random.default_rng(2019)


@pytest.fixture
def float64():
    """Make float64 the type of the layers of a test."""
    keras.config.set_dtype_policy("float64")


@pytest.fixture
def eager():
    """Run without graphs, whose tracing takes seconds for each model: for tests of what stands above the model."""
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


@pytest.fixture
def randomize(rng):
    """Return a function that gives every weight of a layer or model random values, so that none is special."""

    def fill(layer, scale=0.3):
        for weight in layer.weights:
            positive = weight.name in ("moving_variance", "scale", "gamma")
            weight.assign(rng.normal(float(positive), scale * (0.3 if positive else 1.0), weight.shape))
        return layer

    return fill


@pytest.fixture(scope="session")
def two_devices():
    """Return a strategy over both devices: one for all tests, as two in a process confuse each other's collectives."""
    from keras_pdecnn import distribute

    return distribute.strategy("mirrored")
