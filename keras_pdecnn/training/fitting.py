"""Compiling and fitting the network of a recipe."""

from __future__ import annotations

import itertools

import keras

from keras_pdecnn import data, distribute
from keras_pdecnn.losses import LeastSquares
from keras_pdecnn.recipes import MARGIN_LOSSES, Recipe, check_loss
from keras_pdecnn.tasks import TASKS
from keras_pdecnn.training.statistics import FINAL_BATCHES, EvaluationWeights, estimate_statistics, first_batches

# The rate of "one_cycle" starts at the largest one divided by the first, and ends there divided by both.
_START, _END = 25.0, 1e4
_WARMUP = {"cosine": 0.0, "one_cycle": 0.3}


def learning_rate(recipe: Recipe, steps_per_epoch: int):
    """Return the learning rate of a recipe: a number, or a schedule of Keras over the batches of the training.

    The rate of "piecewise" changes at the first batch of each phase. "cosine" and "one_cycle" end with the last batch.

    Args:
        recipe: Recipe with the schedule, the learning rates and the numbers of epochs.
        steps_per_epoch: Number of batches per epoch.

    Returns:
        A number if the rate is constant, otherwise a schedule of Keras.

    Example:
        >>> rate = learning_rate(Recipe(epochs=(2, 1), learning_rates=(0.1, 0.01)), steps_per_epoch=10)
        >>> [round(float(rate(step)), 3) for step in (0, 19, 25)]
        [0.1, 0.1, 0.01]
        >>> recipe = Recipe(schedule="cosine", warmup=0.2, epochs=10, learning_rates=0.1)
        >>> rate = learning_rate(recipe, steps_per_epoch=10)
        >>> [round(float(rate(step)), 3) for step in (0, 10, 20, 60, 99)]
        [0.0, 0.05, 0.1, 0.05, 0.0]
    """
    if recipe.schedule != "piecewise":
        return _cosine(recipe, steps_per_epoch * sum(recipe.epochs))
    if len(recipe.learning_rates) == 1:
        return recipe.learning_rates[0]
    ends = itertools.accumulate(epochs * steps_per_epoch for epochs in recipe.epochs[:-1])
    # A boundary is the number, counted from 0, of the last step of a phase.
    boundaries = [end - 1 for end in ends]
    return keras.optimizers.schedules.PiecewiseConstantDecay(boundaries, list(recipe.learning_rates))


def _cosine(recipe: Recipe, steps: int):
    """Return a linear warm-up to the largest rate, followed by half a cosine, over so many batches."""
    largest = recipe.learning_rates[0]
    cycle = recipe.schedule == "one_cycle"
    warmup = round(steps * (_WARMUP[recipe.schedule] if recipe.warmup is None else recipe.warmup))
    if not warmup:
        return keras.optimizers.schedules.CosineDecay(largest, steps, alpha=1 / (_START * _END) if cycle else 0.0)
    return keras.optimizers.schedules.CosineDecay(
        largest / _START if cycle else 0.0,
        max(1, steps - warmup),
        alpha=1 / (_START * _END) if cycle else 0.0,
        warmup_target=largest,
        warmup_steps=warmup,
    )


def _optimizer(recipe: Recipe, steps_per_epoch: int) -> keras.optimizers.Optimizer:
    """Return the optimiser of a recipe."""
    rate = learning_rate(recipe, steps_per_epoch)
    common: dict = {"global_clipnorm": recipe.gradient_clip}
    if recipe.ema:
        common |= {"use_ema": True, "ema_momentum": recipe.ema}
    if recipe.optimizer == "sgd":
        return keras.optimizers.SGD(rate, momentum=recipe.momentum, nesterov=recipe.nesterov, **common)
    optimizer = keras.optimizers.AdamW(rate, weight_decay=recipe.weight_decay, beta_1=recipe.momentum, **common)
    # As the regulariser: scales and biases do not decay.
    optimizer.exclude_from_weight_decay(var_names=["scale", "gamma", "bias", "beta"])
    return optimizer


def compile(model: keras.Model, recipe: Recipe, steps_per_epoch: int, info: data.Info | None = None) -> keras.Model:
    """Compile a model for a recipe: its optimiser, the loss and the metrics of its task.

    Args:
        model: The model; it returns probabilities, or any numbers if the loss is least squares.
        recipe: Recipe with the optimiser, the learning rates, the epochs and the loss.
        steps_per_epoch: Number of batches per epoch.
        info: Properties of the data, which every task but a classification needs; default None.

    Returns:
        The model.

    Raises:
        ValueError: If the task needs the properties of the data, and they are not given.

    Example:
        >>> recipe = Recipe(widths=4, momentum=0.8)
        >>> info = keras_pdecnn.training.load_data(recipe).info
        >>> model = compile(keras_pdecnn.training.build(recipe, info), recipe, steps_per_epoch=43)
        >>> model.optimizer.momentum
        0.8
    """
    optimizer = _optimizer(recipe, steps_per_epoch)
    if recipe.dtype == "mixed_float16":
        # Keras would wrap the optimiser by itself, but would not save the wrapper with the model.
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
    task = TASKS[recipe.task]
    if info is None and not task.has_labels:
        raise ValueError(f"The task needs the properties of the data. Received: info=None, task={recipe.task!r}")
    model.compile(optimizer, task.loss(recipe, info), metrics=task.metrics(recipe, info), auto_scale_loss=False)
    return model


def fit(
    model: keras.Model,
    dataset: data.Data,
    recipe: Recipe,
    callbacks=(),
    first_epoch: int = 0,
    verbose: int | str = "auto",
    last_epoch: int | None = None,
) -> keras.callbacks.History:
    """Fit a compiled model for the epochs of a recipe.

    Args:
        model: The model.
        dataset: The data of the recipe.
        recipe: Recipe with the number of epochs. If it averages the weights (`ema`) or estimates batch statistics again
            (`recalibrate`), so does each validation, and the model ends with the averages.
        callbacks: Keras callbacks; default none.
        first_epoch: Number of epochs that the model has already been trained for; default 0.
        verbose: Verbosity as in `keras.Model.fit`; default "auto", a progress bar.
        last_epoch: Number of epochs after which to stop; default None, all of the recipe. The levels of a recipe with
            `refinement` are several calls; see `run`, or `fit_levels` for your own code.

    Returns:
        The history that `keras.Model.fit` returns.

    Example:
        >>> recipe = Recipe(widths=4, steps=1, epochs=1, learning_rates=0.1, batch_size=256)
        >>> digits = keras_pdecnn.training.load_data(recipe)
        >>> model = compile(keras_pdecnn.training.build(recipe, digits.info), recipe, digits.steps_per_epoch)
        >>> len(fit(model, digits, recipe, verbose=0).history["loss"])
        1
    """
    callbacks = list(callbacks)
    if recipe.ema or recipe.recalibrate:
        callbacks.append(EvaluationWeights(dataset, averaged=bool(recipe.ema)))
    strategy = getattr(model, "distribute_strategy", None)  # with TensorFlow
    end = sum(recipe.epochs) if last_epoch is None else last_epoch
    history = model.fit(
        divide(strategy, lambda pieces: dataset.training.endless(first_epoch, pieces)),
        steps_per_epoch=dataset.steps_per_epoch,
        initial_epoch=first_epoch,
        epochs=end,
        validation_data=_validation(dataset, recipe, strategy),
        callbacks=callbacks,
        shuffle=False,  # the data set shuffles its examples itself
        verbose=verbose,
    )
    if (recipe.ema or recipe.recalibrate) and end == sum(recipe.epochs):
        estimate_statistics(model, first_batches(dataset, end, FINAL_BATCHES))
    return history


def _validation(dataset: data.Data, recipe: Recipe, strategy):
    """Return the dataset of the validation part, None if there is none."""
    if "validation" not in dataset.evaluation:
        return None
    from keras_pdecnn.data.pipeline import with_probabilities

    def batches(pieces):
        examples = dataset.evaluation["validation"].in_order(pieces)
        # Keras chooses the metric by the first labels, those of the training.
        return with_probabilities(examples, dataset.info.classes) if recipe.mixes else examples

    return divide(strategy, batches)


def divide(strategy, batches):
    """Return a dataset for `keras.Model.fit`, of which each worker of a cluster reads its own part alone.

    Args:
        strategy: Strategy of `tf.distribute`; None under another backend than TensorFlow.
        batches: Function that returns a dataset, from the `data.pipeline.Piece` of each replica of a worker whose parts
            of each batch follow each other, or from None for whole batches.
    """
    if strategy is None or not distribute.in_cluster(strategy):
        return batches(None)
    from keras_pdecnn.data.pipeline import Piece

    def of_worker(context):
        replicas = context.num_replicas_in_sync
        each = replicas // context.num_input_pipelines
        return batches([Piece(context.input_pipeline_id * each + index, replicas) for index in range(each)])

    return strategy.distribute_datasets_from_function(of_worker)


def loss_function(name: str) -> keras.losses.Loss:
    """Return the loss of integer labels of a name that needs no further settings.

    Raises:
        ValueError: If the name is that of no such loss.
    """
    name = check_loss("loss", name)
    if name in MARGIN_LOSSES:
        raise ValueError(f"This loss has settings: give a loss of `losses`. Received: loss={name!r}")
    return LeastSquares() if name == "least_squares" else keras.losses.SparseCategoricalCrossentropy()
