"""The parts of the paper's networks."""

from __future__ import annotations

from collections.abc import Callable

import keras

from keras_pdecnn import layers


class OrdinaryParts:
    """What the paper's networks are made of: batch normalisation, averages over pixels, a dense classifier.

    Args:
        synchronized: Whether batch statistics are taken over all replicas.
        kernel_regularizer: Regulariser of the kernels of connectors and classifier, or None.
    """

    pooling = "avg"
    """What turns the last features into a vector for the classifier."""

    def __init__(self, synchronized: bool, kernel_regularizer: Callable | None):
        self.synchronized = synchronized
        self.kernel_regularizer = kernel_regularizer

    def steps(self, step_size: tuple, max_step_size: tuple) -> tuple[tuple, tuple]:
        """Return the step sizes of the blocks and the upper bounds of automatic ones, from what the user gave."""
        return step_size, max_step_size

    def block_settings(self, steps: int) -> dict:
        """Return the default arguments of a block of so many steps."""
        return {}

    def connector(self, filters: int, **settings) -> keras.layers.Layer:
        """Return a connector, or with a kernel size the opening layer, for features with the channels last."""
        return layers.Connector(
            filters,
            synchronized=self.synchronized,
            kernel_regularizer=self.kernel_regularizer,
            data_format="channels_last",
            **settings,
        )

    def classifier(self, classes: int, **settings) -> keras.layers.Layer:
        """Return the layer from features (batch, channels) to one output per class."""
        return keras.layers.Dense(
            classes, kernel_regularizer=self.kernel_regularizer, bias_regularizer=self.kernel_regularizer, **settings
        )
