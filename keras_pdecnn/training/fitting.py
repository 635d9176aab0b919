"""Compiling and fitting the network of a recipe."""

from __future__ import annotations

import itertools

import keras

from keras_pdecnn import data
from keras_pdecnn.losses import LeastSquares
from keras_pdecnn.recipes import Recipe, check_loss


def learning_rate(recipe: Recipe, steps_per_epoch: int):
    """Return the learning rate of a recipe: a number, or a schedule that changes at the first batch of each phase.

    Args:
        recipe: Recipe with the learning rate and the number of epochs of each phase.
        steps_per_epoch: Number of batches per epoch.

    Returns:
        A number if there is one phase, otherwise a schedule of Keras.

    Example:
        >>> rate = learning_rate(Recipe(epochs=(2, 1), learning_rates=(0.1, 0.01)), steps_per_epoch=10)
        >>> [round(float(rate(step)), 3) for step in (0, 19, 25)]
        [0.1, 0.1, 0.01]
    """
    if len(recipe.learning_rates) == 1:
        return recipe.learning_rates[0]
    ends = itertools.accumulate(epochs * steps_per_epoch for epochs in recipe.epochs[:-1])
    # A boundary is the number, counted from 0, of the last step of a phase.
    boundaries = [end - 1 for end in ends]
    return keras.optimizers.schedules.PiecewiseConstantDecay(boundaries, list(recipe.learning_rates))


def compile(model: keras.Model, recipe: Recipe, steps_per_epoch: int) -> keras.Model:
    """Compile a model for a recipe: SGD with momentum, the loss for integer labels, accuracy.

    Args:
        model: The model; it returns probabilities, or any numbers if the loss is least squares.
        recipe: Recipe with the learning rates, epochs, momentum and loss.
        steps_per_epoch: Number of batches per epoch.

    Returns:
        The model.

    Example:
        >>> recipe = Recipe(widths=4, momentum=0.8)
        >>> info = keras_pdecnn.training.load_data(recipe).info
        >>> model = compile(keras_pdecnn.training.build(recipe, info), recipe, steps_per_epoch=43)
        >>> model.optimizer.momentum
        0.8
    """
    optimizer = keras.optimizers.SGD(learning_rate(recipe, steps_per_epoch), momentum=recipe.momentum)
    if recipe.dtype == "mixed_float16":
        # Keras would wrap the optimiser by itself, but would not save the wrapper with the model.
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
    model.compile(optimizer, loss_function(recipe.loss), metrics=["accuracy"], auto_scale_loss=False)
    return model


def fit(
    model: keras.Model,
    dataset: data.Data,
    recipe: Recipe,
    callbacks=(),
    first_epoch: int = 0,
    verbose: int | str = "auto",
) -> keras.callbacks.History:
    """Fit a compiled model for the epochs of a recipe.

    Args:
        model: The model.
        dataset: The data of the recipe.
        recipe: Recipe with the number of epochs.
        callbacks: Keras callbacks; default none.
        first_epoch: Number of epochs that the model has already been trained for; default 0.
        verbose: Verbosity as in `keras.Model.fit`; default "auto", a progress bar.

    Returns:
        The history that `keras.Model.fit` returns.

    Example:
        >>> recipe = Recipe(widths=4, steps=1, epochs=1, learning_rates=0.1, batch_size=256)
        >>> digits = keras_pdecnn.training.load_data(recipe)
        >>> model = compile(keras_pdecnn.training.build(recipe, digits.info), recipe, digits.steps_per_epoch)
        >>> len(fit(model, digits, recipe, verbose=0).history["loss"])
        1
    """
    return model.fit(
        dataset.epochs(first_epoch),
        steps_per_epoch=dataset.steps_per_epoch,
        initial_epoch=first_epoch,
        epochs=sum(recipe.epochs),
        validation_data=dataset.validation,
        callbacks=list(callbacks),
        shuffle=False,  # the data set shuffles its examples itself
        verbose=verbose,
    )


def loss_function(name: str) -> keras.losses.Loss:
    """Return the loss of integer labels that a recipe names."""
    name = check_loss("loss", name)
    return LeastSquares() if name == "least_squares" else keras.losses.SparseCategoricalCrossentropy()
