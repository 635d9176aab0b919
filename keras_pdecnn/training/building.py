"""Building the network of a recipe."""

from __future__ import annotations

import contextlib

import keras

from keras_pdecnn import data, models
from keras_pdecnn.recipes import Recipe
from keras_pdecnn.tasks import TASKS
from keras_pdecnn.utils.policies import dtype_policy


def build(recipe: Recipe, info: data.Info) -> models.PDEModel:
    """Build the network of a recipe for a data set; the initial weights depend on `recipe.seed` alone.

    The seed is set for Python, NumPy and the backend, by `keras.utils.set_random_seed`.

    Args:
        recipe: Settings of the network.
        info: Properties of the data set.

    Returns:
        A `models.PDEModel` that is not compiled.

    Raises:
        ValueError: If the settings do not suit the examples, or do not fit together.

    Example:
        >>> build(Recipe(widths=4), keras_pdecnn.training.load_data(Recipe()).info).output_shape
        (None, 10)
    """
    keras.utils.set_random_seed(recipe.seed)
    with dtype_policy(recipe.dtype), _channels_last():
        return TASKS[recipe.task].build(models.NETWORKS[recipe.architecture], recipe, info)


@contextlib.contextmanager
def _channels_last():
    """Let Keras make layers with the channels last, as in the data, in this context."""
    data_format = keras.config.image_data_format()
    keras.config.set_image_data_format("channels_last")
    try:
        yield
    finally:
        keras.config.set_image_data_format(data_format)
