"""How much a data set may take in memory."""

MEMORY_LIMIT = 8 * 2**30
"""Largest size in bytes of the examples of one data set, training and test together.

While it is loaded, up to three times as much is in use, because TensorFlow copies the arrays.
"""


def check_memory(needed: int, where: str):
    """Raises ValueError if `needed` bytes of examples are more than `MEMORY_LIMIT`."""
    if needed > MEMORY_LIMIT:
        raise ValueError(
            f"A data set is held in memory, at most {MEMORY_LIMIT / 2**30:.3g} GiB of examples. "
            f"Received: {where}, which needs {needed / 2**30:.3g} GiB"
        )
