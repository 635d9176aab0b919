"""Settings of a recipe: a default, a check of the value and a line of help for each."""

from __future__ import annotations

import dataclasses
import numbers
import os

from keras_pdecnn.networks import NETWORKS
from keras_pdecnn.tasks import to_degradation
from keras_pdecnn.utils import arguments

MARGIN_LOSSES = ("margin", "margin_adaptive", "margin_hinge")
LOSSES = ("classification", "least_squares", *MARGIN_LOSSES)


def setting(default, check, text: str, opposite: str | None = None, compare: bool = True):
    """Return a field of a dataclass with its default, its check and its help on the command line.

    Args:
        default: Value that the field has if none is given.
        check: Function (name, value) -> value to keep, which raises ValueError.
        text: Help on the command line.
        opposite: Option of the command line that stands for False; default None, "no-" with the name.
        compare: Whether recipes differ if this field does; default True.
    """
    metadata = {"check": check, "help": text, "opposite": opposite}
    return dataclasses.field(default=default, metadata=metadata, compare=compare)


def optional(check):
    return lambda name, value: None if value is None else check(name, value)


def one_of(*choices):
    return lambda name, value: arguments.check_choice(name, value, choices)


def each(check):
    """Check a non-empty sequence entry by entry; a single value is a sequence of one."""

    def check_all(name, value):
        entries = tuple(value) if isinstance(value, tuple | list) else (value,)
        if not entries:
            raise ValueError(f"{name} must have at least one entry. Received: {name}={arguments.describe(value)}")
        return tuple(check(name, entry) for entry in entries)

    return check_all


def one_or_more(check):
    """Check a value, or a sequence of values entry by entry."""
    return lambda name, value: (each(check) if isinstance(value, tuple | list) else check)(name, value)


def check_text(name: str, value) -> str:
    text = os.fspath(value) if isinstance(value, str | os.PathLike) else None
    if not isinstance(text, str) or not text:
        raise ValueError(
            f"{name} must be a name or a path, which a file can hold. Received: {name}={arguments.describe(value)}"
        )
    return text


def check_seed(name: str, value) -> int:
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or not 0 <= int(value) < 2**32:
        raise ValueError(
            f"{name} must be an integer, at least 0 and below 2^32. Received: {name}={arguments.describe(value)}"
        )
    return int(value)


def check_architecture(name: str, value) -> str:
    """Return the name of a network of `NETWORKS`; hyphens stand for underscores."""
    return arguments.check_name(name, value, NETWORKS)


def check_loss(name: str, value) -> str:
    """Return the name of a loss if it is one of `LOSSES`; "regression" is the former name of "least_squares".

    Args:
        name: Name of the argument, for the error.
        value: Name of the loss.

    Raises:
        ValueError: If there is no such loss.

    Example:
        >>> check_loss("loss", "regression")
        'least_squares'
    """
    written = value.replace("-", "_") if isinstance(value, str) else value
    former = isinstance(written, str) and written == "regression"
    return "least_squares" if former else arguments.check_choice(name, written, LOSSES)


def check_degradation(name: str, value) -> str:
    """Return the text of a degradation; raise ValueError if it names none."""
    to_degradation(name, value)
    return value


def check_activation(name: str, value) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{name} must be the name of a Keras activation. Received: {name}={arguments.describe(value)}")
    if value == "relu":
        return value  # without Keras: the command line reads the recipes, which have this one, before it imports Keras
    import keras

    arguments.look_up(name, keras.activations.get, value)
    return value
