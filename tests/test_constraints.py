import keras
import numpy as np
import pytest

from keras_pdecnn.constraints import Box


def test_projects_onto_the_interval():
    projected = Box(-1.0, 0.5)(keras.ops.array([-3.0, -1.0, 0.25, 0.5, 2.0]))
    np.testing.assert_array_equal(projected, [-1.0, -1.0, 0.25, 0.5, 0.5])


def test_one_side_may_be_open():
    np.testing.assert_array_equal(Box(0.0, float("inf"))(keras.ops.array([-1.0, 100.0])), [0.0, 100.0])


def test_keeps_the_type_of_the_weight():
    assert Box(-1, 1)(keras.ops.ones((2,), dtype="float64")).dtype == "float64"


def test_config_gives_the_constraint_back():
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(Box(-1, 2)))
    assert isinstance(copy, Box)
    assert copy.get_config() == {"minimum": -1.0, "maximum": 2.0}


@pytest.mark.parametrize("bounds", [(1, -1), (1, 1), (float("nan"), 1), (0, float("nan")), ("a", "b"), (None, 1)])
def test_refuses(bounds):
    with pytest.raises(ValueError, match=r"minimum < maximum. Received: minimum="):
        Box(*bounds)
