"""A whole run, from its recipe to its folder."""

from __future__ import annotations

import dataclasses
import time

import keras
import numpy as np
import tensorflow as tf

from keras_pdecnn import data, distribute, plotting
from keras_pdecnn.callbacks import DivergenceGuard, StabilityMonitor
from keras_pdecnn.distribute import replicated
from keras_pdecnn.recipes import Recipe
from keras_pdecnn.runs import RunFolder, default_path
from keras_pdecnn.runs.checkpoints import Checkpoint, CheckpointFolder, CheckpointWriter
from keras_pdecnn.training.failures import DivergedError, report_files, report_lost_worker
from keras_pdecnn.training.inputs import load_data, spread
from keras_pdecnn.training.network import build, compile, evaluate, fit
from keras_pdecnn.training.result import Result


def run(
    recipe: Recipe | None,
    folder=None,
    callbacks=(),
    verbose: int | str = "auto",
    strategy: tf.distribute.Strategy | None = None,
    resume: bool = False,
    monitor: bool = False,
) -> Result:
    """Train a network by a recipe and write the run folder, with a checkpoint after each epoch.

    Over several workers each of them calls this; the recipe of the chief counts, and only the chief writes files.

    Args:
        recipe: What to train on what, and how. None with `resume`: as the folder says.
        folder: Path of the run folder, which must not exist; default None, runs/<data>-<architecture>-<time>.
        callbacks: Further Keras callbacks, default none; a checkpoint does not hold their state.
        verbose: As in `keras.Model.fit`; default "auto", a progress bar. Workers other than the chief print nothing.
        strategy: On which devices, see `distribute.strategy`; default None, one device.
        resume: Whether the folder may exist, with a run of this recipe that was interrupted: the training goes on
            from the last whole checkpoint and ends, with `tf.config.experimental.enable_op_determinism`, with the
            weights of one that was not interrupted, bit for bit. Default False.
        monitor: Whether to watch the stability of the blocks at four test examples, see `callbacks.StabilityMonitor`;
            default False.

    Returns:
        A `Result`.

    Raises:
        ValueError: If the folder exists and is not to be resumed, the data and network cannot be made by the recipe,
            or a batch does not divide by the number of replicas; then nothing was written.
        DivergedError: If the loss stopped being finite; the folder then holds the last good model.
        StoppedError: If a file could not be written, or another worker no longer answers.

    Example:
        >>> recipe = Recipe(widths=4, steps=1, epochs=1, learning_rates=0.1, batch_size=256)
        >>> result = run(recipe, "runs/small", verbose=0)
        >>> sum(map(sum, result.metrics["confusion_matrix"]))
        360
    """
    strategy = strategy or tf.distribute.get_strategy()
    with report_lost_worker(strategy):
        recipe, path = distribute.from_chief(strategy, lambda: _open(recipe, folder, resume))
        with report_files(path):
            return _train(recipe, RunFolder(path), callbacks, verbose, strategy, monitor)


def _train(
    recipe: Recipe, folder: RunFolder, callbacks, verbose, strategy: tf.distribute.Strategy, monitor: bool
) -> Result:
    is_chief = distribute.worker(strategy)[0] == 0
    dataset = load_data(recipe)
    replicated.check_divides(dataset.training.examples.batch_sizes, strategy)
    with strategy.scope():
        model = compile(build(recipe, dataset.info), recipe, dataset.steps_per_epoch)
        last = distribute.from_chief(strategy, lambda: _begin(folder, recipe, dataset.info))
        if last:
            last.restore(model)
    first_epoch, seconds = (last.epoch, last.seconds) if last else (0, 0.0)

    # First, so that it sees the weights before any other callback acts on them.
    guard = DivergenceGuard()
    used = [guard, *callbacks]
    if is_chief:
        if monitor:
            x, _ = spread(dataset.test, dataset.info.sizes["test"], count=4)
            callbacks = [StabilityMonitor(x, folder.logs), *callbacks]
        used = [
            guard,
            keras.callbacks.CSVLogger(folder.history, append=True),
            keras.callbacks.TensorBoard(folder.logs, write_graph=False),
            *callbacks,
            # Last: the others have done what they do to the weights, and the files of the epoch are written.
            CheckpointWriter(CheckpointFolder(folder.checkpoints), seconds),
        ]
    start = time.perf_counter() - seconds
    fit(model, dataset, recipe, used, first_epoch, verbose if is_chief else 0)
    seconds = time.perf_counter() - start
    metrics = {
        **evaluate(model, dataset.test, loss=recipe.loss),
        "seconds": round(seconds, 3),
        "trainable_weights": sum(int(np.prod(weight.shape)) for weight in model.trainable_weights),
        "diverged": dataclasses.asdict(guard.divergence) if guard.divergence else None,
    }
    x, labels = spread(dataset.test, dataset.info.sizes["test"], count=12)
    shown = x, labels, model.predict(x, verbose=0)
    # The other workers wait for it: whoever leaves earlier looks lost.
    distribute.from_chief(strategy, lambda: _write(folder, recipe, model, metrics, shown, dataset.info))

    result = Result(folder, model, metrics)
    if guard.divergence:
        raise DivergedError(guard.divergence, result)
    return result


def _open(recipe: Recipe | None, path, resume: bool) -> tuple[Recipe, str]:
    """Return the recipe and the path of a run, new or to be resumed."""
    if path is None and (resume or recipe is None):
        raise ValueError("What is to be resumed must be named. Received: folder=None")
    folder = RunFolder(default_path(recipe) if path is None and recipe else path)
    if not (resume and folder.is_begun()):
        if recipe is None:
            raise ValueError(f"There is no run to resume and no recipe to begin with. Received: {str(folder.path)!r}")
        folder.check_vacant(allow_empty=resume)
        return recipe, str(folder.path)
    found, _ = folder.read_config()
    if recipe not in (None, found):
        old, new = found.to_dict(), recipe.to_dict()
        differences = ", ".join(f"{name}={new[name]!r} (was {old[name]!r})" for name in old if old[name] != new[name])
        raise ValueError(f"A run is resumed with the settings it was begun with. Received: {differences}")
    return found, str(folder.path)


def _begin(folder: RunFolder, recipe: Recipe, info: data.Info) -> Checkpoint | None:
    """Make the folder of a new run; return the last checkpoint of one that is resumed, and cut its history there."""
    if not folder.is_begun():
        folder.create()
        folder.write_config(recipe, info)
    last = CheckpointFolder(folder.checkpoints).read_last()
    folder.cut_history(last.epoch if last else 0)
    return last


def _write(folder: RunFolder, recipe: Recipe, model: keras.Model, metrics: dict, shown: tuple, info: data.Info):
    """Write what a run ends with; `shown` are some test examples, their labels and their predictions."""
    x, labels, outputs = shown
    model.save(folder.model)
    folder.write_metrics(metrics)
    figures = {
        folder.training_curves: plotting.training_curves(folder.read_history()),
        folder.confusion_matrix: plotting.confusion_matrix(metrics["confusion_matrix"], info.class_names),
        folder.predictions: plotting.predictions(
            x, labels, outputs, info.class_names, probabilities=recipe.has_probabilities
        ),
    }
    for path, figure in figures.items():
        figure.savefig(path)
