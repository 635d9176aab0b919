"""The limit of the memory that a data set may take."""

MEMORY_LIMIT = 8 * 2**30
"""Largest size in bytes of the examples of one data set, training and test together.

Loading it takes up to three times as much, because TensorFlow copies the arrays.
"""


def check_memory(needed: int, where: str):
    """Raise ValueError if `needed` bytes of examples are more than `MEMORY_LIMIT`."""
    if needed > MEMORY_LIMIT:
        raise ValueError(
            f"A data set is held in memory, at most {MEMORY_LIMIT / 2**30:.3g} GiB of examples. "
            f"Received: {where}, which needs {needed / 2**30:.3g} GiB"
        )
