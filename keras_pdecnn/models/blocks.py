"""The blocks of a network: the arguments of a builder that say what they are."""

from __future__ import annotations

from collections.abc import Callable

import keras

from keras_pdecnn import layers
from keras_pdecnn.models.certified import CertifiedParts
from keras_pdecnn.models.ordinary import OrdinaryParts
from keras_pdecnn.models.settings import check_divisible, regularization
from keras_pdecnn.utils import arguments


class Blocks:
    """The arguments of a builder that say what its blocks are.

    Args:
        block: Class of the blocks.
        widths: Widths, in the order in which the other arguments have their entries.
        steps: Number of steps, one or one per width.
        step_size: Step size, one or one per width.
        max_step_size: Upper bound of automatic step sizes, one or one per width.
        time_smoothness: Factor alpha1 of the regulariser (eq. 13).
        weight_decay: Factor alpha2 of the regulariser.
        box: Bound of the kernel entries, or None.
        block_kwargs: Further arguments of every block.
        entry: What the arguments have one entry for, in messages: "block" or "width".

    Raises:
        ValueError: If an argument is outside its range.
    """

    def __init__(
        self,
        block: type[layers.PDEBlock],
        widths,
        steps,
        step_size,
        max_step_size,
        time_smoothness,
        weight_decay,
        box,
        block_kwargs: dict,
        entry: str,
    ):
        self.block, self.block_kwargs = block, block_kwargs
        self.widths = arguments.check_entries("widths", widths, arguments.check_positive_integer)
        check_divisible(block, self.widths)
        count = len(self.widths)
        steps = arguments.per_entry("steps", steps, count, entry)
        self.steps = tuple(arguments.check_positive_integer("steps", number) for number in steps)
        self.step_size = arguments.per_entry("step_size", step_size, count, entry)
        self.max_step_size = arguments.per_entry("max_step_size", max_step_size, count, entry)
        self.time_smoothness = arguments.check_non_negative("time_smoothness", time_smoothness)
        self.weight_decay = arguments.check_non_negative("weight_decay", weight_decay)
        self.box = None if box is None else arguments.check_positive("box", box)

    @property
    def backprop(self) -> str:
        """The gradient mode of the blocks."""
        given = self.block_kwargs.get("backprop")
        return self.block.default_backprop(self.block_kwargs.get("scheme")) if given is None else given

    @property
    def kernel_regularizer(self) -> keras.regularizers.Regularizer | None:
        """The regulariser of the kernels that are not those of blocks."""
        return keras.regularizers.L2(self.weight_decay / 2) if self.weight_decay else None

    def among(self, parts: OrdinaryParts | CertifiedParts) -> Callable:
        """Return a function that appends a block to a network of these parts.

        Its arguments are features, the index of the width, and the name of the block; it returns features.
        """
        step_size, max_step_size = parts.steps(self.step_size, self.max_step_size)

        def append(y, index: int, name: str):
            count, h, largest = self.steps[index], step_size[index], max_step_size[index]
            time_step = largest if isinstance(h, str) else h
            settings = {
                **parts.block_settings(count),
                **regularization(self.time_smoothness, self.weight_decay, time_step, self.box),
                **self.block_kwargs,
                "data_format": "channels_last",
            }
            block = self.block(count, step_size=h, max_step_size=largest, name=name, **settings)
            parts.check_block(block)
            return block(y)

        return append
