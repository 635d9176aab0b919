"""Choices at equal distances."""

from __future__ import annotations

import numpy as np


def middles(count: int, parts: int) -> np.ndarray:
    """Return the index in the middle of each of `parts` equal parts of `count` entries; all of them, if these agree.

    With more parts than entries, some entries are repeated.

    Args:
        count: Number of entries, at least 1.
        parts: Number of parts, at least 1.

    Example:
        >>> middles(12, 3).tolist(), middles(2, 4).tolist()
        ([2, 6, 10], [0, 0, 1, 1])
    """
    return (2 * np.arange(parts) + 1) * count // (2 * parts)
