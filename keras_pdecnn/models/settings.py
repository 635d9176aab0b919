"""Checks of the arguments of builders, and the arguments of blocks that follow from them."""

from __future__ import annotations

import difflib
import inspect
import operator
from collections.abc import Callable

import keras

from keras_pdecnn import layers
from keras_pdecnn.constraints import Box
from keras_pdecnn.regularizers import TimeSmoothness
from keras_pdecnn.utils import arguments

_OF_LAYERS = ("dtype", "trainable", "activity_regularizer")


def check_names(build: Callable, block: type[layers.PDEBlock], builder: str, block_kwargs: dict):
    """Raise ValueError for an argument that neither the builder nor the block has, with the name that is most alike.

    Args:
        build: Function that assembles the network, whose arguments are those of the builder.
        block: Class of the blocks.
        builder: Name of the function that the user called.
        block_kwargs: Arguments that are not among those of the builder.

    Raises:
        ValueError: If the block does not have one of them either.
    """
    own = set(inspect.signature(build).parameters) - {"block", "builder", "block_kwargs"}
    known = sorted(own | _arguments_of(block) | set(_OF_LAYERS))
    for name, value in block_kwargs.items():
        if name not in known:
            alike = difflib.get_close_matches(name, known, n=1)
            question = f": did you mean {alike[0]!r}?" if alike else "."
            raise ValueError(
                f"{builder} has no argument {name!r}{question} Received: {name}={arguments.describe(value)}"
            )


def _arguments_of(block: type[layers.PDEBlock]) -> set[str]:
    """Return the names of the arguments of a block, those of its base classes included."""
    classes = block.__mro__[: block.__mro__.index(keras.layers.Layer)]
    signatures = [inspect.signature(cls) for cls in classes if "__init__" in vars(cls)]
    parameters = [parameter for signature in signatures for parameter in signature.parameters.values()]
    return {parameter.name for parameter in parameters if parameter.kind is not parameter.VAR_KEYWORD}


def check_divisible(block: type[layers.PDEBlock], widths: tuple[int, ...]):
    """Raise ValueError for a width that the block cannot divide into its parts."""
    parts = block.integrator.parts
    if any(width % parts for width in widths):
        raise ValueError(
            f"widths must be divisible by {parts}: a {block.__name__} divides its channels into {parts} equal parts. "
            f"Received: widths={widths}"
        )


def check_input_shape(shape, data_format: str) -> tuple:
    """Return the shape of one example as a tuple of int or None; it may come from an array, a list, a TensorShape."""
    try:
        sizes = tuple(None if n is None else operator.index(n) for n in shape)
    except (TypeError, ValueError):
        sizes = ()
    channels = 0 if data_format == "channels_first" else -1
    if not 2 <= len(sizes) <= 4 or sizes[channels] is None or any(n is not None and n < 1 for n in sizes):
        axes = "(channels, *space)" if data_format == "channels_first" else "(*space, channels)"
        raise ValueError(
            f"input_shape must be {axes} of one example, with one to three space axes. "
            f"Received: input_shape={arguments.describe(shape)}"
        )
    return sizes


def regularization(alpha1: float, alpha2: float, h: float, box: float | None) -> dict:
    """Return the arguments of a block for the regulariser (eq. 13) and the box constraint."""
    settings = {}
    if alpha1 or alpha2:
        settings["kernel_regularizer"] = TimeSmoothness(alpha1, alpha2, h)
    if alpha1:
        settings["scale_regularizer"] = settings["bias_regularizer"] = TimeSmoothness(alpha1, 0.0, h)
    if box is not None:
        settings["kernel_constraint"] = Box(-box, box)
    return settings
