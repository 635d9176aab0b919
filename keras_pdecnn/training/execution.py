"""A whole run, from its recipe to its folder."""

from __future__ import annotations

import dataclasses
import time
from typing import TYPE_CHECKING

import keras
import numpy as np

from keras_pdecnn import data, distribute
from keras_pdecnn.callbacks import DivergenceGuard, StabilityMonitor
from keras_pdecnn.distribute.strategies import check_backend
from keras_pdecnn.recipes import Recipe
from keras_pdecnn.runs import RunFolder
from keras_pdecnn.runs.checkpoints import CheckpointFolder, CheckpointWriter
from keras_pdecnn.training.beginning import begin_run, open_run
from keras_pdecnn.training.building import build
from keras_pdecnn.training.evaluation import evaluate
from keras_pdecnn.training.failures import DivergedError, report_files, report_lost_worker
from keras_pdecnn.training.fitting import compile, fit
from keras_pdecnn.training.inputs import load_data, spread
from keras_pdecnn.training.result import Result
from keras_pdecnn.utils import optional

if TYPE_CHECKING:
    import tensorflow as tf


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

    Over several workers each of them calls this function; the recipe of the chief counts, and only the chief writes
    files.

    Args:
        recipe: Recipe: the data, the network and its training. None with `resume` stands for the recipe in the folder.
        folder: Path of the run folder, which must not exist; default None, runs/<data>-<architecture>-<time>.
        callbacks: Further Keras callbacks; default none. A checkpoint does not hold their state.
        verbose: Verbosity as in `keras.Model.fit`; default "auto", a progress bar. Workers other than the chief print
            nothing.
        strategy: Strategy that says on which devices to train, see `distribute.strategy`; default None, one device.
        resume: Whether the folder may exist, with an interrupted run of this recipe. The training then continues from
            the last undamaged checkpoint. With `tf.config.experimental.enable_op_determinism` it ends with the same
            weights, bit for bit, as without the interruption. Default False.
        monitor: Whether to watch the stability of the blocks at four test examples, see `callbacks.StabilityMonitor`;
            default False.

    Returns:
        A `Result`.

    Raises:
        ValueError: If the folder exists and is not to be resumed, the recipe does not suit the data, or the number of
            replicas does not divide the size of a batch; then nothing has been written.
        ImportError: If TensorFlow, whose tf.data feeds the training under every backend, is not installed.
        DivergedError: If the loss stopped being finite; the folder then holds the last good model.
        StoppedError: If a file could not be written, or another worker no longer answers.

    Example:
        >>> recipe = Recipe(widths=4, steps=1, epochs=1, learning_rates=0.1, batch_size=256)
        >>> result = run(recipe, "runs/small", verbose=0)
        >>> sum(map(sum, result.metrics["confusion_matrix"]))
        360
    """
    strategy = strategy or optional.tensorflow("pde.training.run").distribute.get_strategy()
    check_backend(strategy)
    with report_lost_worker(strategy):
        recipe, path = distribute.from_chief(strategy, lambda: open_run(recipe, folder, resume))
        with report_files(path):
            return _train(recipe, RunFolder(path), callbacks, verbose, strategy, monitor)


def _train(
    recipe: Recipe, folder: RunFolder, callbacks, verbose, strategy: tf.distribute.Strategy, monitor: bool
) -> Result:
    is_chief = distribute.worker(strategy)[0] == 0
    dataset = load_data(recipe)
    if strategy.num_replicas_in_sync > 1:
        from keras_pdecnn.distribute import replicated

        replicated.check_divides(dataset.training.examples.batch_sizes, strategy)
    with strategy.scope():
        model = compile(build(recipe, dataset.info), recipe, dataset.steps_per_epoch)
        last = distribute.from_chief(strategy, lambda: begin_run(folder, recipe, dataset.info))
        if last:
            last.restore(model)
    first_epoch, seconds = (last.epoch, last.seconds) if last else (0, 0.0)

    # The guard comes first, so that it sees the weights before any other callback acts on them.
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
            # The checkpoint comes last: the other callbacks have then changed the weights and written their files.
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
    # The other workers wait for the chief to write: a worker that left earlier would seem lost.
    distribute.from_chief(strategy, lambda: _write(folder, recipe, model, metrics, shown, dataset.info))

    result = Result(folder, model, metrics)
    if guard.divergence:
        raise DivergedError(guard.divergence, result)
    return result


def _write(folder: RunFolder, recipe: Recipe, model: keras.Model, metrics: dict, shown: tuple, info: data.Info):
    """Write the results of a run; `shown` holds some test examples, their labels and their predictions."""
    from keras_pdecnn import plotting

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
