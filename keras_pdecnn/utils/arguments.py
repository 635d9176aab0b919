"""Checks of arguments: each returns an accepted value, and otherwise says what it expected and what it received."""

from __future__ import annotations

import numbers

LARGEST = float.fromhex("0x1.fffffep+127")  # the largest number in float32
STEP_RULES = ("auto", "per_filter")  # what a step size may be instead of a number
FLOATING = ("float16", "bfloat16", "float32", "float64")
_LONGEST = 300  # characters of a value in a message
_ENTRIES = 8  # entries shown of a list that holds arrays


def describe(value) -> str:
    """Return a value as messages show it: arrays by type and shape, everything else by `repr`, shortened if it is long.

    Args:
        value: Any value that the user gave.

    Returns:
        A text of a few hundred characters at most.

    Example:
        >>> import numpy as np
        >>> describe((np.zeros((64, 8, 8, 1)), 3))
        '(<ndarray of shape (64, 8, 8, 1) and type float64>, 3)'
    """
    if isinstance(value, tuple | list) and any(is_array(entry) for entry in value):
        entries = [describe(entry) for entry in value[:_ENTRIES]] + ["…"] * (len(value) > _ENTRIES)
        text = f"[{', '.join(entries)}]" if isinstance(value, list) else f"({', '.join(entries)})"
    elif isinstance(value, dict) and any(is_array(entry) for entry in value.values()):
        entries = [f"{key!r}: {describe(entry)}" for key, entry in list(value.items())[:_ENTRIES]]
        text = f"{{{', '.join(entries + ['…'] * (len(value) > _ENTRIES))}}}"
    elif is_array(value):
        kind = f" and type {value.dtype}" if hasattr(value, "dtype") else ""
        text = f"<{type(value).__name__} of shape {tuple(value.shape)}{kind}>"
    else:
        text = repr(value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 50]} … {text[-50:]}"


def is_array(value) -> bool:
    """Return whether a value is an array, a tensor or a table; a scalar of NumPy, whose shape is (), is not."""
    try:
        return len(value.shape) > 0
    except (AttributeError, TypeError, ValueError):
        return False


def check_positive_integer(name: str, value) -> int:
    """Return value as an int if it is a whole number of at least 1."""
    return _check_integer(name, value, 1)


def check_non_negative_integer(name: str, value) -> int:
    """Return value as an int if it is a whole number of at least 0."""
    return _check_integer(name, value, 0)


def _check_integer(name: str, value, minimum: int) -> int:
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < minimum:
        raise ValueError(f"{name} must be an integer of at least {minimum}. Received: {name}={describe(value)}")
    return int(value)


def check_positive(name: str, value) -> float:
    """Return value as a float if it is a positive finite number."""
    if not _is_finite_number(value) or value <= 0:
        raise ValueError(f"{name} must be a positive number. Received: {name}={describe(value)}")
    return float(value)


def check_step_size(name: str, value) -> float | str:
    """Return value as a float if it is a positive finite number, or "auto" or "per_filter" as it is."""
    if isinstance(value, str) and value in STEP_RULES:
        return value
    if not _is_finite_number(value) or value <= 0:
        raise ValueError(
            f"{name} must be a positive number, 'auto' or 'per_filter'. Received: {name}={describe(value)}"
        )
    return float(value)


def check_non_negative(name: str, value) -> float:
    """Return value as a float if it is a finite number of at least 0."""
    if not _is_finite_number(value) or value < 0:
        raise ValueError(f"{name} must be a number of at least 0. Received: {name}={describe(value)}")
    return float(value)


def check_fraction(name: str, value) -> float:
    """Return value as a float if it is a number of at least 0 and below 1."""
    if not _is_finite_number(value) or not 0 <= value < 1:
        raise ValueError(f"{name} must be at least 0 and below 1. Received: {name}={describe(value)}")
    return float(value)


def check_share(name: str, value) -> float:
    """Return a number in (0, 1] as a float; raise ValueError for anything else."""
    if not (_is_finite_number(value) and 0 < value <= 1):
        raise ValueError(f"{name} must be a number in (0, 1]. Received: {name}={describe(value)}")
    return float(value)


def check_angle(name: str, value) -> float:
    """Return value as a float if it is a number of degrees from 0 to 180."""
    if not _is_finite_number(value) or not 0 <= value <= 180:
        raise ValueError(f"{name} must be a number in [0, 180]. Received: {name}={describe(value)}")
    return float(value)


def check_flag(name: str, value) -> bool:
    """Return value as a bool if it is True or False (or 1 or 0)."""
    return bool(check_choice(name, value, (True, False)))


def check_choice(name: str, value, choices):
    """Return value if it is one of the choices."""
    if is_array(value) or value not in choices:
        accepted = ", ".join(repr(choice) for choice in choices)
        raise ValueError(f"{name} must be one of {accepted}. Received: {name}={describe(value)}")
    return value


def check_name(name: str, value, names) -> str:
    """Return the one of the names that is meant; hyphens stand for underscores."""
    if isinstance(value, str) and value.replace("-", "_") in names:
        return value.replace("-", "_")
    return check_choice(name, value, tuple(names))


def check_odd_sizes(name: str, value) -> int | tuple[int, ...]:
    """Return a kernel size, an odd integer or one per space axis."""
    sizes = value if isinstance(value, tuple | list) else (value,)
    for size in sizes:
        if isinstance(size, bool) or not isinstance(size, numbers.Integral) or size < 1 or size % 2 == 0:
            raise ValueError(
                f"{name} must be odd: a centred stencil has an exact adjoint. Received: {name}={describe(value)}"
            )
    if not 1 <= len(sizes) <= 3:
        raise ValueError(f"{name} must have one to three entries. Received: {name}={describe(value)}")
    return tuple(int(size) for size in sizes) if isinstance(value, tuple | list) else int(value)


def check_sizes(name: str, value) -> int | tuple[int, ...]:
    """Return a size, a whole number of at least 1 or one per space axis."""
    if isinstance(value, tuple | list):
        if not 1 <= len(value) <= 3:
            raise ValueError(f"{name} must have one to three entries. Received: {name}={describe(value)}")
        return tuple(check_positive_integer(name, size) for size in value)
    return check_positive_integer(name, value)


def check_color(name: str, value) -> str:
    """Return a colour as six hexadecimal digits, red, green and blue; it may begin with #."""
    digits = value.removeprefix("#").lower() if isinstance(value, str) else ""
    if len(digits) != 6 or not set(digits) <= set("0123456789abcdef"):
        raise ValueError(f"{name} must be colours such as ff8000. Received: {name}={describe(value)}")
    return digits


def check_entries(name: str, value, check) -> tuple:
    """Return value as a tuple if it is a list or tuple, not empty, whose entries pass `check`."""
    if not isinstance(value, tuple | list) or not value:
        raise ValueError(f"{name} must be a list or tuple with one entry per block. Received: {name}={describe(value)}")
    return tuple(check(name, entry) for entry in value)


def look_up(name: str, get, identifier, required: bool = False):
    """Return get(identifier); if Keras does not know the identifier, the message names our argument."""
    message = (
        f"{name} must be a name, configuration or object that Keras knows. Received: {name}={describe(identifier)}"
    )
    if required and identifier is None:
        raise ValueError(message)
    try:
        return get(identifier)
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(message) from error


def check_dtype(value):
    """Return value if it is None, or a policy of Keras (or its name or configuration) of floating type."""
    import keras

    if value is not None:
        policy = look_up("dtype", keras.dtype_policies.get, value)
        if policy.variable_dtype not in FLOATING:
            raise ValueError(
                f"dtype must be a policy whose weights are {', '.join(FLOATING)}. Received: dtype={describe(value)}"
            )
    return value


def check_layer_kwargs(kwargs: dict) -> dict:
    """Return the keyword arguments of a Keras layer, after checking that `dtype`, if given, is of floating type."""
    check_dtype(kwargs.get("dtype"))
    return kwargs


def per_entry(name: str, value, count: int, entry: str) -> tuple:
    """Return value as a tuple of `count` entries, one per `entry` ("block", "space axis"); a single one is repeated."""
    if isinstance(value, tuple | list):
        if len(value) != count:
            raise ValueError(
                f"{name} must be one value or one per {entry} ({count}). Received: {name}={describe(value)}"
            )
        return tuple(value)
    return (value,) * count


def is_line(value) -> bool:
    """Return whether value is one line of text, and not empty."""
    return isinstance(value, str) and value.splitlines() == [value]


def is_number(value) -> bool:
    """Return whether value is a real number, finite or not."""
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def _is_finite_number(value) -> bool:
    # TensorFlow turns numbers beyond the range of float32 into infinity, or raises an error.
    return is_number(value) and abs(value) <= LARGEST
