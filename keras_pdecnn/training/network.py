"""The network of a recipe: build, compile, fit, evaluate."""

from __future__ import annotations

import contextlib
import itertools

import keras
import numpy as np

from keras_pdecnn import data, models
from keras_pdecnn.losses import LeastSquares
from keras_pdecnn.recipes import Recipe, check_loss


def build(recipe: Recipe, info: data.Info) -> models.PDEModel:
    """Build the network of a recipe for a data set; its initial weights depend on `recipe.seed` alone.

    The seed is set with `keras.utils.set_random_seed`, for Python, NumPy and TensorFlow.

    Args:
        recipe: What the network is.
        info: What its data are.

    Returns:
        A `models.PDEModel`, not compiled.

    Raises:
        ValueError: If the network does not suit the examples, or its settings do not fit together.

    Example:
        >>> build(Recipe(widths=4), keras_pdecnn.training.load_data(Recipe()).info).output_shape
        (None, 10)
    """
    keras.utils.set_random_seed(recipe.seed)
    with _dtype_policy(recipe.dtype):
        builder = models.NETWORKS[recipe.architecture].builder
        return builder(info.input_shape, classes=info.classes, **recipe.network_settings())


def learning_rate(recipe: Recipe, steps_per_epoch: int):
    """Return the learning rate of a recipe: a number, or a schedule that changes with the first batch of a phase.

    Args:
        recipe: Learning rates, and epochs of each phase.
        steps_per_epoch: Number of batches of an epoch.

    Example:
        >>> rate = learning_rate(Recipe(epochs=(2, 1), learning_rates=(0.1, 0.01)), steps_per_epoch=10)
        >>> [round(float(rate(step)), 3) for step in (0, 19, 25)]
        [0.1, 0.1, 0.01]
    """
    if len(recipe.learning_rates) == 1:
        return recipe.learning_rates[0]
    ends = itertools.accumulate(epochs * steps_per_epoch for epochs in recipe.epochs[:-1])
    # A boundary is the last step, counted from 0, with the rate before it.
    boundaries = [end - 1 for end in ends]
    return keras.optimizers.schedules.PiecewiseConstantDecay(boundaries, list(recipe.learning_rates))


def compile(model: keras.Model, recipe: Recipe, steps_per_epoch: int) -> keras.Model:
    """Compile a model for a recipe: SGD with momentum, the loss for integer labels, accuracy.

    Args:
        model: The model; it returns probabilities, or any numbers for the loss "least_squares".
        recipe: Learning rates, epochs, momentum and loss.
        steps_per_epoch: Number of batches of an epoch.

    Returns:
        The model.

    Example:
        >>> recipe = Recipe(widths=4, momentum=0.8)
        >>> model = compile(build(recipe, keras_pdecnn.training.load_data(recipe).info), recipe, steps_per_epoch=43)
        >>> model.optimizer.momentum
        0.8
    """
    optimizer = keras.optimizers.SGD(learning_rate(recipe, steps_per_epoch), momentum=recipe.momentum)
    if recipe.dtype == "mixed_float16":
        # What Keras does by itself, but the wrapper is then not saved with the model.
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
    model.compile(optimizer, _loss(recipe.loss), metrics=["accuracy"], auto_scale_loss=False)
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
        recipe: Number of epochs.
        callbacks: Keras callbacks; default none.
        first_epoch: Number of epochs that the model has been trained for; default 0.
        verbose: As in `keras.Model.fit`; default "auto", a progress bar.

    Returns:
        The history that Keras returns.

    Example:
        >>> recipe = Recipe(widths=4, steps=1, epochs=1, learning_rates=0.1, batch_size=256)
        >>> digits = keras_pdecnn.training.load_data(recipe)
        >>> model = compile(build(recipe, digits.info), recipe, digits.steps_per_epoch)
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
        shuffle=False,  # the data set does it
        verbose=verbose,
    )


def evaluate(model: keras.Model, dataset, verbose: int | str = 0, loss: str = "classification") -> dict:
    """Evaluate a model on a dataset of (x, label).

    Args:
        model: The model; its output has one number per class, of which the largest is the predicted class.
        dataset: A tf.data.Dataset of batches, each pass the same.
        verbose: As in `keras.Model.predict`; default 0.
        loss: "classification" (default) or "least_squares", see `recipes.Recipe`.

    Returns:
        loss (its mean and regularisation, as in `keras.Model.evaluate`), accuracy, and confusion_matrix, a
        list of rows: entry `[i][j]` counts the examples of class i that were taken for class j.

    Example:
        >>> recipe = Recipe(widths=4, steps=1, epochs=1, learning_rates=0.1)
        >>> digits = keras_pdecnn.training.load_data(recipe)
        >>> model = compile(build(recipe, digits.info), recipe, digits.steps_per_epoch)
        >>> sum(map(sum, evaluate(model, digits.test)["confusion_matrix"]))
        360
    """
    outputs = model.predict(dataset, verbose=verbose)
    labels = np.concatenate([np.asarray(y) for _, y in dataset])
    classes, best = outputs.shape[-1], outputs.argmax(-1)
    confusion = np.bincount(labels * classes + best, minlength=classes**2)
    return {
        "loss": float(_loss(loss)(labels, outputs)) + sum(float(penalty) for penalty in model.losses),
        "accuracy": float(np.mean(best == labels)),
        "confusion_matrix": confusion.reshape(classes, classes).tolist(),
    }


def _loss(name: str) -> keras.losses.Loss:
    return (
        LeastSquares() if check_loss("loss", name) == "least_squares" else keras.losses.SparseCategoricalCrossentropy()
    )


@contextlib.contextmanager
def _dtype_policy(name: str):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)
