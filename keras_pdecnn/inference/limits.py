"""Limits of the examples that are predicted."""

from __future__ import annotations

import math
import os

_BATCH = 64  # examples
_LARGEST_EXAMPLE = 2**24  # values; the features of a network are many times as large


def check_example_size(shape, path):
    """Raise ValueError if an example of this shape has too many values; None stands for a size of at least 1."""
    size = math.prod(n or 1 for n in shape)
    if size > _LARGEST_EXAMPLE:
        raise ValueError(
            f"An example may have at most {_LARGEST_EXAMPLE:,} values. Received: {os.fspath(path)!r}, "
            f"of shape {tuple(shape)}"
        )


def batch_size(shape) -> int:
    """Return the number of examples of this shape that are predicted at once: fewer if they are large."""
    return max(1, min(_BATCH, _LARGEST_EXAMPLE // math.prod(shape)))
