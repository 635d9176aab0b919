"""The size of a network with outputs for every pixel, before it is built."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Iterator

from keras_pdecnn.recipes import Recipe
from keras_pdecnn.utils import arguments


@dataclasses.dataclass(frozen=True)
class UNetSizes:
    """The convolutions and blocks of a U-Net for examples of one size.

    Args:
        recipe: Settings of the network.
        input_shape: (*space, channels) of an example.
        outputs: Number of outputs per pixel.
    """

    recipe: Recipe
    input_shape: tuple[int, ...]
    outputs: int

    @property
    def rank(self) -> int:
        """Number of space axes."""
        return len(self.input_shape) - 1

    def pixels(self, level: int) -> int:
        """Return the number of pixels on a grid; the finest is level 0, padded so that it can be halved."""
        multiple = 2 ** (len(self.recipe.widths) - 1)
        return math.prod(-(-n // multiple) * multiple >> level for n in self.input_shape[:-1])

    def blocks(self) -> Iterator[tuple[int, int, int]]:
        """Yield (level, steps, width) of each block, down to the coarsest grid and up again."""
        widths = self.recipe.widths
        steps = arguments.per_entry("steps", self.recipe.steps, len(widths), "width")
        levels = range(len(widths))
        for level in (*levels, *reversed(levels[:-1])):
            yield level, steps[level], widths[level]

    def convolutions(self) -> Iterator[tuple[int, int, int]]:
        """Yield (pixels, entries of the kernel, vectors of a normalisation) of each convolution outside the blocks."""
        widths, provable = self.recipe.widths, self.recipe.provable
        vectors = 1 if provable else 2
        yield self.pixels(0), 3**self.rank * self.input_shape[-1] * widths[0], vectors * widths[0]
        for level, (fine, coarse) in enumerate(itertools.pairwise(widths)):
            # A bounded connector lists the pixels of a window, others take their mean.
            window = 2**self.rank if provable else 1
            yield self.pixels(level + provable), window * fine * coarse, vectors * coarse
            yield self.pixels(level + 1), window * fine * coarse, vectors * fine
        yield self.pixels(0), widths[0] * self.outputs, self.outputs

    def weights(self, step_weights) -> int:
        """Return the number of trainable weights; `step_weights` is a function of the width of a block."""
        total = sum(entries + vectors for _, entries, vectors in self.convolutions())
        for _, steps, width in self.blocks():
            total += (self.recipe.basis_size or steps) * step_weights(width)
        return total

    def multiply_adds(self, step_entries) -> int:
        """Return the multiplications of a prediction; `step_entries` counts those of a step per pixel, by the width."""
        total = sum(pixels * entries for pixels, entries, _ in self.convolutions())
        return total + sum(self.pixels(level) * steps * step_entries(width) for level, steps, width in self.blocks())
