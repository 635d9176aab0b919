"""Weights of a model on another grid, in time and in space."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_pdecnn import layers, operators
from keras_pdecnn.layers.base_connector import BaseConnector
from keras_pdecnn.ops import time_basis
from keras_pdecnn.utils import arguments
from keras_pdecnn.utils.optimizers import build_optimizer

METHODS = ("galerkin", "operators", "copy")


def carry_variables(old: Sequence, new: Sequence, interpolation: str):
    """Assign to variables the values of others, interpolated in time where the number of steps on axis 0 differs.

    Args:
        old: Variables that have the values.
        new: Variables that get them, in the same order.
        interpolation: Interpolation in time, see `ops.time_basis.interpolation`.

    Raises:
        ValueError: If the interpolation is another name.
    """
    arguments.check_choice("interpolation", interpolation, time_basis.INTERPOLATIONS)
    for source, target in zip(old, new, strict=True):
        value = ops.copy(source)  # under JAX, variables that share memory lose it together
        if tuple(source.shape) != tuple(target.shape):
            matrix = time_basis.interpolation(source.shape[0], target.shape[0], interpolation)
            value = time_basis.combine(matrix, value)
        target.assign(value)


def carry_optimizer(old: keras.Model, new: keras.Model, interpolation: str):
    """Give the optimiser of a model the state of the optimiser of another one, interpolated in time.

    Raises:
        ValueError: If one of the models has no optimiser.
    """
    if getattr(old, "optimizer", None) is None or getattr(new, "optimizer", None) is None:
        raise ValueError("A model that is not compiled has no state of an optimiser. Received: optimizer_state=True")
    for model in (old, new):
        build_optimizer(model)
    carry_variables(old.optimizer.variables, new.optimizer.variables, interpolation)


def at_resolution(model: keras.Model, factor: float, method: str) -> Any:
    """Return a model with the same weights for images of another size, see `PDEModel.at_resolution`."""
    arguments.check_choice("method", method, METHODS)
    levels = round(math.log2(arguments.check_positive("factor", factor)))
    if 2.0**levels != factor:
        raise ValueError(f"factor must be a power of 2, such as 0.5 or 2. Received: factor={factor!r}")
    new = keras.models.clone_model(model, input_tensors=_input(model, factor))
    try:
        new.set_weights(model.get_weights())
    except ValueError as error:
        raise ValueError(
            "Only a network whose weights do not depend on the size of the images can be carried over. "
            f"Received: factor={factor!r} for {model.name}"
        ) from error
    for source, target in zip(model.variables, new.variables, strict=True):
        target.assign(ops.copy(source))  # the states of random layers, too
    for layer in new.layers:
        if isinstance(layer, layers.PDEBlock | BaseConnector):
            first = 2 if isinstance(layer, layers.PDEBlock) else 0  # after steps and fields
            axes = tuple(range(first, len(layer.kernel.shape) - 2))
            layer.kernel.assign(_carried(ops.convert_to_numpy(layer.kernel), axes, levels, method))
    return new


def _input(model: keras.Model, factor: float):
    """Return an input for images of another size."""
    (old,) = model.inputs
    # A network of images with the channels first begins with a layer of this name.
    channels = 1 if any(layer.name == "channels_last" for layer in model.layers) else len(old.shape) - 1
    sizes = [size if axis in (0, channels) else _scaled(size, factor) for axis, size in enumerate(old.shape)]
    return keras.Input(sizes[1:], dtype=old.dtype, name=old.name)


def _scaled(size: int | None, factor: float) -> int | None:
    """Return the size of an axis on the other grid."""
    if size is None:
        return None
    scaled = size * factor
    if scaled < 1 or scaled != int(scaled):
        raise ValueError(f"Images of {size} pixels have no size on that grid. Received: factor={factor!r}")
    return int(scaled)


def _carried(kernel: np.ndarray, axes: tuple, levels: int, method: str) -> np.ndarray:
    """Return a kernel on a grid that is finer (levels > 0) or coarser, by factors of 2."""
    if method == "copy":
        return kernel
    if method == "operators":
        return operators.rediscretize(kernel, 1.0, 2.0**-levels, axes)
    for _ in range(abs(levels)):
        kernel = operators.refine(kernel, axes) if levels > 0 else operators.coarsen(kernel, axes)
    return kernel
