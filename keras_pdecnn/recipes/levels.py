"""The levels of a multilevel training: few steps and small images first, then more and larger ones."""

from __future__ import annotations

import dataclasses
import fractions
import itertools

from keras_pdecnn.utils import arguments

_TEXT = "STEPS:EPOCHS or STEPS:EPOCHS:SIZE, such as 3:10 or 3:10:1/2"


@dataclasses.dataclass(frozen=True)
class Level:
    """One level of a multilevel training.

    Args:
        steps: Number of steps, one number or one per block.
        epochs: Number of epochs.
        factor: Size of the images as a multiple of those of the network, a power of 2; default 1.

    Raises:
        ValueError: If a number is not positive.

    Example:
        >>> Level(steps=3, epochs=4, factor=1 / 2).factor
        0.5
    """

    steps: int | tuple[int, ...]
    epochs: int
    factor: float = 1.0

    def __post_init__(self):
        for count in self.steps if isinstance(self.steps, tuple) else (self.steps,):
            arguments.check_positive_integer("steps", count)
        arguments.check_positive_integer("epochs", self.epochs)
        arguments.check_positive("factor", self.factor)

    def __str__(self):
        steps = "+".join(map(str, self.steps)) if isinstance(self.steps, tuple) else self.steps
        size = "" if self.factor == 1 else f":{fractions.Fraction(self.factor)}"
        return f"{steps}:{self.epochs}{size}"

    @property
    def words(self) -> str:
        """The level in words.

        Example:
            >>> Level(3, 4, 1 / 2).words
            '3 steps, images of 1/2 the size, 4 epochs'
        """
        steps = " and ".join(map(str, self.steps)) if isinstance(self.steps, tuple) else self.steps
        size = "" if self.factor == 1 else f", images of {fractions.Fraction(self.factor)} the size"
        return f"{steps} step{'s' * (self.steps != 1)}{size}, {self.epochs} epoch{'s' * (self.epochs != 1)}"


def parse(name: str, value) -> Level:
    """Return a level that is one already, or that a text stands for.

    Args:
        name: Name of the argument, for the error.
        value: A `Level`, or a text STEPS:EPOCHS or STEPS:EPOCHS:SIZE; several steps, one per block, have + between
            them.

    Raises:
        ValueError: If the text has another form, a number is not positive, or the size is not 1, 1/2, 1/4, …

    Example:
        >>> parse("refinement", "2+3:10:1/2")
        Level(steps=(2, 3), epochs=10, factor=0.5)
    """
    level = value
    if isinstance(value, str):
        steps, _, rest = value.partition(":")
        epochs, _, size = rest.partition(":")
        try:
            counts = tuple(map(int, steps.split("+")))
            factor = float(fractions.Fraction(size)) if size else 1.0
            level = Level(counts if len(counts) > 1 else counts[0], int(epochs), factor)
        except (ValueError, ZeroDivisionError, OverflowError):
            level = None
    if not isinstance(level, Level):
        raise ValueError(f"{name} must have levels {_TEXT}. Received: {name}={arguments.describe(value)}")
    if level.factor > 1 or not (1 / level.factor).is_integer() or int(1 / level.factor).bit_count() != 1:
        raise ValueError(
            f"{name} must have images of the size 1, 1/2, 1/4, … in each level. Received: {name}={str(level)!r}"
        )
    return level


def check_refinement(name: str, value) -> str | tuple[str, ...] | None:
    """Return None, "auto", or levels as a tuple of their texts."""
    if value is None or (isinstance(value, str) and value == "auto"):
        return value
    entries = value if isinstance(value, tuple | list) else (value,)
    if not entries:
        raise ValueError(f"{name} must have at least one level. Received: {name}={arguments.describe(value)}")
    return tuple(str(parse(name, entry)) for entry in entries)


def levels_of(refinement, steps: int | tuple[int, ...], epochs: int) -> tuple[Level, ...]:
    """Return all levels of a training, of which the last one is the network itself.

    Args:
        refinement: None for no other level; "auto" for `default_levels`; or the coarser levels, as texts.
        steps: Number of steps of the network, one number or one per block.
        epochs: Number of epochs of all levels; the last one has those that the others leave.

    Raises:
        ValueError: If no epoch is left for the network, or a level is not finer than the one before.

    Example:
        >>> [level.words for level in levels_of(("3:5:1/2", "6:2"), steps=12, epochs=10)]
        ['3 steps, images of 1/2 the size, 5 epochs', '6 steps, 2 epochs', '12 steps, 3 epochs']
    """
    if refinement is None:
        return (Level(steps, epochs),)
    if refinement == "auto":
        return default_levels(steps, epochs)
    coarse = [parse("refinement", text) for text in refinement]
    received = f"Received: refinement={','.join(refinement)}"
    rest = epochs - sum(level.epochs for level in coarse)
    if rest < 1:
        raise ValueError(
            f"The coarser levels must leave an epoch for the network itself. {received} and {epochs} epochs in total"
        )
    levels = (*coarse, Level(steps, rest))
    if any(not _is_finer(fine, before) for before, fine in itertools.pairwise(levels)):
        raise ValueError(
            "Each level must have more steps or larger images than the one before, and neither fewer nor smaller ones, "
            f"up to the network itself. {received} and steps={steps}"
        )
    return levels


def _is_finer(level: Level, before: Level) -> bool:
    count = max(len(side.steps) if isinstance(side.steps, tuple) else 1 for side in (level, before))
    fine, coarse = (arguments.per_entry("steps", side.steps, count, "block") for side in (level, before))
    grows = all(n >= m for n, m in zip(fine, coarse, strict=True)) and level.factor >= before.factor
    return grows and (tuple(fine), level.factor) != (tuple(coarse), before.factor)


def default_levels(steps: int | tuple[int, ...], epochs: int) -> tuple[Level, ...]:
    """Return levels for a network of so many steps and a budget of epochs.

    A quarter of the steps has half of the epochs, half of the steps a fifth, and all steps have the rest. With 12 steps
    this is 0.53 of the work of direct training.

    Args:
        steps: Number of steps of the network, one number or one per block.
        epochs: Number of epochs of all levels.

    Raises:
        ValueError: If a number is not positive.

    Example:
        >>> [(level.steps, level.epochs) for level in default_levels(12, 10)]
        [(3, 5), (6, 2), (12, 3)]
    """
    arguments.check_positive_integer("epochs", epochs)
    counts = list(dict.fromkeys(_divided(steps, divisor) for divisor in (4, 2, 1)))
    last = epochs if len(counts) == 1 else max(1, round(0.3 * epochs))
    first = epochs - last if len(counts) == 2 else min(epochs - last, round(0.5 * epochs))
    sizes = {1: (last,), 2: (first, last), 3: (first, epochs - last - first, last)}[len(counts)]
    return tuple(Level(n, size) for n, size in zip(counts, sizes, strict=True) if size)


def _divided(steps, divisor: int):
    if isinstance(steps, tuple | list):
        return tuple(_divided(count, divisor) for count in steps)
    return max(1, arguments.check_positive_integer("steps", steps) // divisor)
