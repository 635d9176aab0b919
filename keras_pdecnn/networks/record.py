"""The record of one network: how it is built and drawn, and what is known of it."""

from __future__ import annotations

import dataclasses
import importlib
from typing import Any


class Imported:
    """An attribute of a record that may be given as text "module:name", which is imported when it is read."""

    def __set_name__(self, owner, name):
        self._key = f"_{name}"

    def __get__(self, record, owner=None) -> Any:
        if record is None:
            raise AttributeError(self._key)  # the argument has no default
        return resolve(record.__dict__[self._key])

    def __set__(self, record, value: Any):
        record.__dict__[self._key] = value


def resolve(reference: Any) -> Any:
    """Return the object that a text "module:name" refers to; anything else is returned as it is.

    Args:
        reference: The text, or an object.

    Raises:
        ImportError: If there is no such module.
        AttributeError: If the module has no such name.

    Example:
        >>> resolve("math:sqrt")(4.0)
        2.0
    """
    if not isinstance(reference, str):
        return reference
    module, _, name = reference.partition(":")
    return getattr(importlib.import_module(module), name)


@dataclasses.dataclass(frozen=True, kw_only=True, repr=False)
class Network:
    """Everything that the package knows of a network besides its equations, which are the block and its integrator.

    The name of the network is its key in `models.NETWORKS`; users type it as `architecture`.

    Args:
        label: Name in running text and in the legends of plots, such as "second-order".
        block: Class of its blocks, a subclass of `layers.PDEBlock`, or text "module:name".
        builder: Function that builds the model from `input_shape` and the keyword arguments of the four builders of
            `models`; those that it does not need it may ignore. Or text "module:name".
        equation: One step as an equation and in words; default "", none is shown.
        stability: What theory says of its steps, in whole sentences; default "", general words are shown.
        marker: Marker of Matplotlib in plots; default None, a circle.
        color: Colour of Matplotlib in plots; default None, one that no other network in the plot has.

    Raises:
        ValueError: If the label is empty, the block has no integrator or the builder cannot be called.

    Example:
        >>> from keras_pdecnn import layers, models
        >>> class HeatBlock(layers.ParabolicBlock):
        ...     pass
        ...
        >>> network = Network(label="heat", block=HeatBlock, builder=models.ParabolicCNN)
        >>> network.is_reversible, network.has_step_limit
        (False, True)
    """

    label: str
    block: Any = Imported()
    builder: Any = Imported()
    equation: str = ""
    stability: str = ""
    marker: str | None = None
    color: str | None = None

    def __post_init__(self):
        if not isinstance(self.label, str) or not self.label:
            raise ValueError(f"label must be a text that is not empty. Received: label={self.label!r}")
        block, builder = self.__dict__["_block"], self.__dict__["_builder"]
        if not isinstance(block, str) and not hasattr(block, "integrator"):
            raise ValueError(
                f"block must be a subclass of layers.PDEBlock with an integrator. Received: block={block!r}"
            )
        if not isinstance(builder, str) and not callable(builder):
            raise ValueError(f"builder must be a function that returns a model. Received: builder={builder!r}")

    @property
    def is_reversible(self) -> bool:
        """Whether the steps can be undone, so that the gradient can be taken with `backprop="reversible"`."""
        return self.block.integrator.is_reversible

    @property
    def relative_size(self) -> float:
        """Number of kernel entries of a step, relative to a convolution of the full width: 1/2, 1 or 2 in the package.

        It is 1/2 for Hamiltonian steps, 1 for parabolic and second-order ones, and 2 for residual ones.
        """
        integrator, kernels = self.block.integrator, 1 if self.block.symmetric else 2
        return kernels * integrator.fields / integrator.parts**2

    @property
    def has_step_limit(self) -> bool:
        """Whether a largest step size is known, which `step_size="auto"` and `provable` need."""
        return self.block.symmetric and self.block.integrator.limit is not None
