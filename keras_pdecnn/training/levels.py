"""Multilevel training: few steps and small images first, each level started from the one before."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from keras_pdecnn import data, models
from keras_pdecnn.models.refinement import carry_optimizer
from keras_pdecnn.recipes import Recipe
from keras_pdecnn.recipes.levels import Level
from keras_pdecnn.training.fitting import compile

INTERPOLATION = "constant"
"""How weights and moments are carried to more steps: each step becomes several with its weights, which changes the
loss less than weights in between."""


def at_level(
    model: models.PDEModel,
    recipe: Recipe,
    steps_per_epoch: int,
    old: int,
    new: int,
    info: data.Info | None = None,
) -> models.PDEModel:
    """Return the network of another level, with the weights and the state of the optimiser of this one.

    Args:
        model: Compiled network of a level of the recipe.
        recipe: Recipe of the training.
        steps_per_epoch: Number of batches per epoch.
        old: Number of the level of `model`, counted from 0.
        new: Number of the other level; if it is `old`, the result is `model`.
        info: Properties of the data, see `training.compile`; default None.

    Raises:
        ValueError: If the network cannot take images of the size of that level.
    """
    if new == old:
        return model
    before, level = recipe.levels[old], recipe.levels[new]
    other = model.with_steps(level.steps, INTERPOLATION)
    if level.factor != before.factor:
        other = other.at_resolution(level.factor / before.factor, "copy")
    compile(other, recipe, steps_per_epoch, info)
    carry_optimizer(model, other, INTERPOLATION)
    return other


def level_at(levels: Sequence[Level], epoch: int) -> int:
    """Return the number of the level, counted from 0, that a training is at after so many epochs.

    At the end of a level it is this one, as its checkpoint holds the network of this level.

    Example:
        >>> [level_at([Level(1, 2), Level(2, 3)], epoch) for epoch in range(6)]
        [0, 0, 0, 1, 1, 1]
    """
    ends = itertools.accumulate(level.epochs for level in levels)
    return next((number for number, end in enumerate(ends) if epoch <= end), len(levels) - 1)


def fit_levels(
    model: models.PDEModel, levels: Sequence[Level], x, y, validation_data: tuple | None = None, **fit_arguments
) -> tuple[models.PDEModel, dict]:
    """Train a network level by level; each level starts from the weights and the optimiser of the one before.

    Between two levels each step becomes several with the same weights, see `PDEModel.with_steps`. At another resolution
    kernels are copied. The optimiser keeps its step counter, so that a schedule of the learning rate goes on.

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
        model = model.with_steps(level.steps, INTERPOLATION, optimizer_state=True)
        if level.factor != factor:
            coarser = model
            model, factor = coarser.at_resolution(level.factor / factor, "copy"), level.factor
            carry_optimizer(coarser, model, INTERPOLATION)
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
