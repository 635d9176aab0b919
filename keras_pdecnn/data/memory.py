"""Whether the examples of a data set are held in memory, and the limit of the memory that they may take."""

from __future__ import annotations

MEMORY_LIMIT = 8 * 2**30
"""Largest size in bytes of the examples of one data set that is held in memory, training and test together.

Loading it takes up to three times as much, because TensorFlow copies the arrays.
"""

STREAMING_LIMIT = 2**29
"""Size in bytes of the examples of one data set above which they are streamed, where nothing else is asked for."""


def check_memory(needed: int, where: str):
    """Raise ValueError if `needed` bytes of examples are more than `MEMORY_LIMIT`."""
    if needed > MEMORY_LIMIT:
        raise ValueError(
            f"A data set is held in memory, at most {MEMORY_LIMIT / 2**30:.3g} GiB of examples. "
            f"Received: {where}, which needs {needed / 2**30:.3g} GiB"
        )


def is_held(needed: int, where: str, in_memory: bool | None) -> bool:
    """Return whether `needed` bytes of examples are held in memory, or else streamed.

    Args:
        needed: Number of bytes.
        where: Name or path of the data set, for the message.
        in_memory: What the user asks for; None stands for memory up to `STREAMING_LIMIT`.

    Raises:
        ValueError: If memory is asked for, and more than `MEMORY_LIMIT` is needed.
    """
    if in_memory is None:
        return needed <= STREAMING_LIMIT
    if in_memory:
        check_memory(needed, where)
    return in_memory


def refuse_streaming(in_memory: bool | None, where: str, why: str):
    """Raise ValueError if streaming is asked for where it cannot be done."""
    if in_memory is False:
        raise ValueError(f"{why} Received: {where}, in_memory=False")
