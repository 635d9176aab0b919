"""Multilevel training: few steps and small images first, each level started from the one before."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from keras_pdecnn import models
from keras_pdecnn.models.refinement import carry_optimizer
from keras_pdecnn.utils import arguments


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


def default_levels(steps: int, epochs: int) -> tuple[Level, ...]:
    """Return levels for a network of so many steps and a budget of epochs.

    A quarter of the steps has half of the epochs, half of the steps a fifth, and all steps have the rest. With 12 steps
    this is 0.53 of the work of direct training.

    Args:
        steps: Number of steps of the network.
        epochs: Number of epochs of all levels.

    Raises:
        ValueError: If a number is not positive.

    Example:
        >>> [(level.steps, level.epochs) for level in default_levels(12, 10)]
        [(3, 5), (6, 2), (12, 3)]
    """
    arguments.check_positive_integer("epochs", epochs)
    counts = sorted({max(1, steps // 4), max(1, steps // 2), arguments.check_positive_integer("steps", steps)})
    last = epochs if len(counts) == 1 else max(1, round(0.3 * epochs))
    first = epochs - last if len(counts) == 2 else min(epochs - last, round(0.5 * epochs))
    sizes = {1: (last,), 2: (first, last), 3: (first, epochs - last - first, last)}[len(counts)]
    return tuple(Level(n, size) for n, size in zip(counts, sizes, strict=True) if size)


def fit_levels(
    model: models.PDEModel, levels: Sequence[Level], x, y, validation_data: tuple | None = None, **fit_arguments
) -> tuple[models.PDEModel, dict]:
    """Train a network level by level; each level starts from the weights and the optimiser of the one before.

    Between two levels the weights are interpolated in time, see `PDEModel.with_steps`. At another resolution kernels
    are copied. The optimiser keeps its step counter, so that a schedule of the learning rate goes on.

    Args:
        model: Compiled network of the finest level. Its weights are those that the training starts from.
        levels: Levels in their order.
        x: Images, an array of shape (examples, *space, channels).
        y: Labels.
        validation_data: Images and labels of the validation; default None.
        **fit_arguments: Further arguments of `keras.Model.fit`.

    Returns:
        The network of the last level, and the history of all epochs: a list by name of the metric.

    Raises:
        ValueError: If there is no level, or images have no such size.

    Example:
        >>> model = keras_pdecnn.models.ParabolicCNN((8, 8, 1), 2, widths=(4,), steps=4)
        >>> model.compile("sgd", "sparse_categorical_crossentropy")
        >>> x, y = np.zeros((4, 8, 8, 1), "float32"), np.array([0, 1, 0, 1])
        >>> model, history = fit_levels(model, [Level(2, 1), Level(4, 1)], x, y, verbose=0)
        >>> model.blocks[0].steps, len(history["loss"])
        (4, 2)
    """
    if not levels:
        raise ValueError(f"There must be at least one level. Received: levels={levels!r}")
    history: dict[str, list] = {}
    epoch, factor = 0, 1.0
    for level in levels:
        model = model.with_steps(level.steps, optimizer_state=True)
        if level.factor != factor:
            coarser = model
            model, factor = coarser.at_resolution(level.factor / factor, "copy"), level.factor
            carry_optimizer(coarser, model, "linear")
        held_out = validation_data and (shrink(validation_data[0], factor), *validation_data[1:])
        fitted = model.fit(
            shrink(x, factor),
            y,
            initial_epoch=epoch,
            epochs=epoch + level.epochs,
            validation_data=held_out,
            **fit_arguments,
        )
        epoch += level.epochs
        for name, values in fitted.history.items():
            history.setdefault(name, []).extend(values)
    return model, history


def shrink(images, factor: float) -> np.ndarray:
    """Return images whose pixels are averages of 1 / factor pixels on each axis.

    Args:
        images: Array of shape (examples, *space, channels).
        factor: Size of the new images as a multiple of the old one, 1 / n for an integer n.

    Raises:
        ValueError: If the sizes are no multiples of n, or the factor is no such number.

    Example:
        >>> shrink(np.arange(4.0).reshape(1, 4, 1), 1 / 2).ravel().tolist()
        [0.5, 2.5]
    """
    images, n = np.asarray(images), round(1 / factor)
    if n == 1:
        return images
    if n * factor != 1 or any(size % n for size in images.shape[1:-1]):
        raise ValueError(f"Images of shape {images.shape[1:]} have no such size. Received: factor={factor!r}")
    shape = [images.shape[0]]
    for size in images.shape[1:-1]:
        shape += [size // n, n]
    return images.reshape(*shape, images.shape[-1]).mean(axis=tuple(range(2, len(shape), 2))).astype("float32")
