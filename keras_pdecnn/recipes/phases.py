"""The phases of a training, each with a learning rate and a number of epochs, fitted to another number of epochs."""

from __future__ import annotations

import itertools


def single(epochs) -> int | None:
    """Return the number of epochs if there is only one, as a number or in a sequence; otherwise None."""
    if isinstance(epochs, tuple | list):
        return epochs[0] if len(epochs) == 1 else None
    return epochs


def scaled(rates: tuple[float, ...], epochs: tuple[int, ...], total: int) -> tuple[tuple, tuple]:
    """Return learning rates and epochs of the phases of a training of `total` epochs.

    The epochs are in proportion to those given, with at least one for each phase. If there are fewer epochs than
    phases, the phases that would have the fewest are left out.

    Args:
        rates: Learning rate of each phase.
        epochs: Number of epochs of each phase.
        total: Number of epochs of all phases together, at least 1.

    Example:
        >>> scaled((0.1, 0.02, 0.004), (60, 20, 20), total=5)
        ((0.1, 0.02, 0.004), (3, 1, 1))
        >>> scaled((0.1, 0.02, 0.004), (60, 20, 20), total=1)
        ((0.1,), (1,))
    """
    if total < len(epochs):
        # Of phases of equal length the earlier ones stay.
        kept = sorted(sorted(range(len(epochs)), key=lambda phase: (-epochs[phase], phase))[:total])
        return tuple(rates[phase] for phase in kept), (1,) * total
    whole = sum(epochs)
    ends = [0, *(round(end * total / whole) for end in itertools.accumulate(epochs))]
    for phase in range(1, len(ends)):  # room for one epoch of each phase, before this one and after it
        ends[phase] = min(max(ends[phase], ends[phase - 1] + 1), total - (len(epochs) - phase))
    return rates, tuple(after - before for before, after in itertools.pairwise(ends))


def extended(epochs: tuple[int, ...], total: int) -> tuple[int, ...]:
    """Return the epochs of a training of `total` epochs whose last phase is longer.

    Example:
        >>> extended((20, 6, 6), total=40)
        (20, 6, 14)
    """
    return (*epochs[:-1], total - sum(epochs[:-1]))
