"""The parts of networks whose logits have a small Lipschitz constant, which `stability.certified_radius` certifies."""

from __future__ import annotations

from collections.abc import Callable

import keras

from keras_pdecnn import layers
from keras_pdecnn.utils import arguments


class CertifiedParts:
    """What certified networks are made of: automatic steps, connectors with a norm of at most 1, a scaled classifier.

    Blocks have no normalisation unless the user asks for one. Pixels become channels where the paper's networks take
    averages, and the classifier reads all pixels of the last features.

    Args:
        block: Class of the blocks.
        lipschitz: Lipschitz constant of the classifier.
        kernel_regularizer: Regulariser of the kernels of connectors and classifier, or None.
        orthogonal: Whether the connectors are orthogonal and linear, and each logit has the constant `lipschitz`;
            default False.

    Raises:
        ValueError: If no step size makes the steps of such a block non-expansive; `check_block` refuses single blocks.
    """

    pooling = "flatten"
    """What turns the last features into a vector for the classifier."""

    def __init__(
        self,
        block: type[layers.PDEBlock],
        lipschitz: float,
        kernel_regularizer: Callable | None,
        orthogonal: bool = False,
    ):
        if not block.symmetric:
            raise ValueError(
                f"No step size makes the steps of a {block.__name__} non-expansive, so there is no certified network "
                "of these blocks. Received: provable=True"
            )
        self.block = block
        self.lipschitz = lipschitz
        self.kernel_regularizer = kernel_regularizer
        self.orthogonal = orthogonal

    def steps(self, step_size: tuple, max_step_size: tuple) -> tuple[tuple, tuple]:
        """Return "auto" or "per_filter" for every block; a number becomes an upper bound of "auto"."""
        for h, largest in zip(step_size, max_step_size, strict=True):
            arguments.check_step_size("step_size", h)
            arguments.check_positive("max_step_size", largest)
        largest = tuple(m if isinstance(h, str) else min(h, m) for h, m in zip(step_size, max_step_size, strict=True))
        return tuple(h if isinstance(h, str) else "auto" for h in step_size), largest

    def block_settings(self, steps: int) -> dict:
        """Return the default arguments of a block of so many steps."""
        return {"normalization": None, "max_gain": self.block.bounded_gain(steps)}

    def check_block(self, block: layers.PDEBlock):
        """Raise ValueError if a block has no Lipschitz bound that could be certified, whatever its weights are."""
        if block.normalization == "tv":
            raise ValueError(
                "A provable network needs the normalization None, 'scale' or 'shrinkage', as the bound of 'tv' is too "
                "large to certify anything. Received: provable=True, normalization='tv'"
            )
        try:
            block.integrator.check_bounds()
        except ValueError as error:
            # What has changed the integrator of the class, as the user has typed it.
            scheme = {} if block.scheme is None else {"scheme": block.scheme}
            is_coupled = block.backprop == "reversible" and block.default_backprop(block.scheme) != "reversible"
            coupled = {"backprop": block.backprop} if is_coupled else {}
            typed = {"provable": True, **(scheme | coupled or {"integrator": block.integrator.name})}
            raise ValueError(
                f"No Lipschitz bound of the integrator {block.integrator.name!r} is proved, so that a provable network "
                f"has none. Received: {', '.join(f'{name}={value!r}' for name, value in typed.items())}"
            ) from error

    def connector(self, filters: int, **settings) -> keras.layers.Layer:
        """Return a connector, or with a kernel size the opening layer, for features with the channels last."""
        settings = {"orthogonal": True, "activation": None, **settings} if self.orthogonal else settings
        return layers.BoundedConnector(
            filters,
            kernel_initializer="orthogonal",
            kernel_regularizer=self.kernel_regularizer,
            data_format="channels_last",
            **settings,
        )

    def classifier(self, classes: int, **settings) -> keras.layers.Layer:
        """Return the layer from features (batch, pixels * channels) to one output per class."""
        return layers.NormalizedDense(
            classes,
            lipschitz=self.lipschitz,
            per_unit=self.orthogonal,
            kernel_regularizer=self.kernel_regularizer,
            bias_regularizer=self.kernel_regularizer,
            **settings,
        )

    def refining_connector(self, filters: int, **settings) -> keras.layers.Layer:
        """Return the connector to a finer grid, for features with the channels last."""
        return layers.BoundedRefiningConnector(
            filters,
            kernel_initializer="orthogonal",
            kernel_regularizer=self.kernel_regularizer,
            data_format="channels_last",
            **settings,
        )

    def join(self, skip: str, before, y, **settings):
        """Return the average of two features: if neither moves two inputs apart, their average does not either."""
        return keras.layers.Average(**settings)([before, y])

    def head(self, outputs: int, activation: Callable, restoration: bool, rank: int, **settings) -> keras.layers.Layer:
        """Return the layer from features to the outputs of each pixel."""
        return self.connector(outputs, pool_size=1, activation=None, **settings)

    def correct(self, x, y, **settings):
        """Return the average of x and y: half the identity makes a non-expansive map a firmly non-expansive one."""
        return keras.layers.Average(**settings)([x, y])


def check_input_size(input_shape: tuple):
    """Raise ValueError if the size of the input is not known: the classifier has a weight for each pixel."""
    if None in input_shape:
        raise ValueError(
            "The classifier of a provable network reads every pixel of the last features, so it needs a known size. "
            f"Received: input_shape={input_shape}"
        )
