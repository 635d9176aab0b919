"""The opening of a network: what comes before the first block."""

from __future__ import annotations

from collections.abc import Sequence

from keras_pdecnn.models.certified import CertifiedParts
from keras_pdecnn.models.ordinary import OrdinaryParts
from keras_pdecnn.utils import arguments


class Opening:
    """A convolution from the channels of the input, and with a width of its own a connector to the first block.

    Args:
        kernel_size: Size of the convolution, an odd integer or one per space axis.
        stride: Stride of the convolution, an integer or one per space axis.
        width: Number of channels of the convolution; a connector, which halves every space axis, then leads to the
            first block. None stands for the width of the first block, without a connector.
        rank: Number of space axes.

    Raises:
        ValueError: If an argument is outside its range.
    """

    def __init__(self, kernel_size, stride, width, rank: int):
        kernel_size = arguments.check_odd_sizes("opening_kernel_size", kernel_size)
        arguments.per_entry("opening_kernel_size", kernel_size, rank, "space axis")
        stride = arguments.check_sizes("opening_stride", stride)
        self.kernel_size, self.stride = kernel_size, stride
        self.strides = arguments.per_entry("opening_stride", stride, rank, "space axis")
        self.width = None if width is None else arguments.check_positive_integer("opening_width", width)

    def __call__(self, y, parts: OrdinaryParts | CertifiedParts, width: int):
        """Return the input of a first block of this width, for features with the channels last."""
        settings = {"kernel_size": self.kernel_size, "strides": self.stride, "pool_size": 1}
        y = parts.connector(self.width or width, name="opening", **settings)(y)
        return y if self.width is None else parts.connector(width, pool_size=2, name="connector_0")(y)

    def output_space(self, space: Sequence[int | None]) -> list:
        """Return the sizes of the space axes in the first block, of an input with these; 0 where nothing is left."""
        sizes = self.strided(space)
        return sizes if self.width is None else [n and n // 2 for n in sizes]

    def strided(self, space: Sequence[int | None]) -> list:
        """Return the sizes of the space axes after the convolution."""
        return [n and -(-n // s) for n, s in zip(space, self.strides, strict=True)]

    def described(self) -> str:
        """Return how messages qualify a number of pixels in the first block: nothing if they are those of the input."""
        return "" if self.width is None and max(self.strides) == 1 else " after the opening"

    def received(self) -> str:
        """Return the arguments that shrink the input as messages show them."""
        stride = f", opening_stride={self.stride}" if max(self.strides) > 1 else ""
        return stride + ("" if self.width is None else f", opening_width={self.width}")
