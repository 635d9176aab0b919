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
        backprop: Gradient mode of the blocks. With another one than "stored", that of the connectors is "checkpointed".
    """

    pooling = "avg"
    """What turns the last features into a vector for the classifier."""

    def __init__(self, synchronized: bool, kernel_regularizer: Callable | None, backprop: str):
        self.synchronized = synchronized
        self.kernel_regularizer = kernel_regularizer
        self.backprop = "stored" if backprop == "stored" else "checkpointed"

    def steps(self, step_size: tuple, max_step_size: tuple) -> tuple[tuple, tuple]:
        """Return the step sizes of the blocks and the upper bounds of automatic ones, from what the user gave."""
        return step_size, max_step_size

    def block_settings(self, steps: int) -> dict:
        """Return the default arguments of a block of so many steps."""
        return {}

    def check_block(self, block: layers.PDEBlock):
        """Accept every block."""

    def connector(self, filters: int, **settings) -> keras.layers.Layer:
        """Return a connector, or with a kernel size the opening layer, for features with the channels last."""
        return layers.Connector(
            filters,
            synchronized=self.synchronized,
            backprop=self.backprop,
            kernel_regularizer=self.kernel_regularizer,
            data_format="channels_last",
            **settings,
        )

    def classifier(self, classes: int, **settings) -> keras.layers.Layer:
        """Return the layer from features (batch, channels) to one output per class."""
        return keras.layers.Dense(
            classes, kernel_regularizer=self.kernel_regularizer, bias_regularizer=self.kernel_regularizer, **settings
        )

    def refining_connector(self, filters: int, **settings) -> keras.layers.Layer:
        """Return the connector to a finer grid, for features with the channels last."""
        return layers.RefiningConnector(
            filters,
            synchronized=self.synchronized,
            backprop=self.backprop,
            kernel_regularizer=self.kernel_regularizer,
            data_format="channels_last",
            **settings,
        )

    def join(self, skip: str, before, y, **settings):
        """Return the features y from the coarser grids together with those before them on the same grid."""
        return {"add": keras.layers.Add, "concatenate": keras.layers.Concatenate}[skip](**settings)([before, y])

    def head(self, outputs: int, activation: Callable, restoration: bool, rank: int, **settings) -> keras.layers.Layer:
        """Return the layer from features to the outputs of each pixel; a correction is 0 at first."""
        return getattr(keras.layers, f"Conv{rank}D")(
            outputs,
            1,
            activation=activation,
            kernel_initializer="zeros" if restoration else "glorot_uniform",
            kernel_regularizer=self.kernel_regularizer,
            bias_regularizer=self.kernel_regularizer,
            data_format="channels_last",
            **settings,
        )

    def correct(self, x, y, **settings):
        """Return the images x with the correction y."""
        return keras.layers.Add(**settings)([x, y])
