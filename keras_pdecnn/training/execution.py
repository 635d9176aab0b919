"""A whole run, from its recipe to its folder."""

from __future__ import annotations

import dataclasses
import itertools
import os
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
from keras_pdecnn.tasks import TASKS
from keras_pdecnn.training.beginning import begin_run, open_run
from keras_pdecnn.training.building import build
from keras_pdecnn.training.evaluation import evaluate_part
from keras_pdecnn.training.failures import (
    DivergedError,
    report_files,
    report_interruption,
    report_lost_worker,
    report_memory,
    report_unreadable,
)
from keras_pdecnn.training.fitting import compile, fit
from keras_pdecnn.training.inputs import load_data
from keras_pdecnn.training.levels import at_level, level_at
from keras_pdecnn.training.result import Result
from keras_pdecnn.training.starting import copy_weights, read_weights
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
    start_from: str | os.PathLike | None = None,
) -> Result:
    """Train a network by a recipe and write the run folder, with a checkpoint after each epoch.

    A recipe with `refinement` is trained level by level. Each level starts from the weights and the optimiser of the
    one before; checkpoints, the history and `resume` go through all levels, and the network of the run is the last one.
    A training that stops early, at whatever level, ends with that network, too.

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
            weights, bit for bit, as without the interruption. The last phase of the recipe may be longer than that of
            the run, even if the run is finished: with the schedule "piecewise" the run then ends as if it had been that
            long from the start; "cosine" and "one_cycle" go on with the rate that the longer schedule has at this
            point, which is higher than the last one. Default False.
        monitor: Whether to watch the stability of the blocks at four test examples, see `callbacks.StabilityMonitor`;
            default False.
        start_from: Run folder, .keras file or .weights.h5 file of a trained network whose weights the new run starts
            from. It must have the same layers; the classifier keeps random weights if the number of classes is another
            one. Default None, random weights.

    Returns:
        A `Result`.

    Raises:
        ValueError: If the folder exists and is not to be resumed, the recipe does not suit the data, or the number of
            replicas does not divide the size of a batch; then nothing has been written.
        ImportError: If TensorFlow, whose tf.data feeds the training under every backend, is not installed.
        DivergedError: If the loss stopped being finite; the folder then holds the last good model.
        StoppedError: If a file could not be written, the memory does not suffice, or another worker no longer answers.
        Interrupted: If the run is interrupted from the keyboard; it is a KeyboardInterrupt that names the folder.

    Example:
        >>> recipe = Recipe(widths=4, steps=1, epochs=1, learning_rates=0.1, batch_size=256)
        >>> result = run(recipe, "runs/small", verbose=0)
        >>> sum(map(sum, result.metrics["confusion_matrix"]))
        360
    """
    strategy = strategy or optional.tensorflow("pde.training.run").distribute.get_strategy()
    check_backend(strategy)
    with report_lost_worker(strategy):
        start = None if start_from is None else os.path.abspath(os.path.expanduser(start_from))
        recipe, path = distribute.from_chief(strategy, lambda: open_run(recipe, folder, resume, start))
        try:
            with report_interruption(path), report_files(path), report_unreadable(), report_memory(path):
                return _train(recipe, RunFolder(path), callbacks, verbose, strategy, monitor, start)
        except BaseException:
            if distribute.worker(strategy)[0] == 0 and not resume:
                RunFolder(path).discard()
            raise


def _train(
    recipe: Recipe,
    folder: RunFolder,
    callbacks,
    verbose,
    strategy: tf.distribute.Strategy,
    monitor: bool,
    start_from: str | None,
) -> Result:
    is_chief = distribute.worker(strategy)[0] == 0
    is_new = distribute.from_chief(strategy, lambda: not folder.is_begun())
    trained = read_weights(start_from) if start_from is not None and is_new else None
    dataset = load_data(recipe)
    if strategy.num_replicas_in_sync > 1:
        from keras_pdecnn.distribute import replicated

        replicated.check_divides(dataset.training.examples.batch_sizes, strategy)
    finest = len(recipe.levels) - 1
    if finest and (strategy.num_replicas_in_sync > 1 or distribute.in_cluster(strategy)):
        raise ValueError(
            "A training with coarser levels runs on one device. "
            f"Received: refinement={recipe.refinement!r} and {strategy.num_replicas_in_sync} replicas"
        )
    with strategy.scope():
        network = compile(build(recipe, dataset.info), recipe, dataset.steps_per_epoch, dataset.info)
        if trained is not None:
            copy_weights(trained, network, str(start_from))
        model = at_level(network, recipe, dataset.steps_per_epoch, finest, 0, dataset.info)
        dataset.at_resolution(recipe.levels[0].factor)  # a wrong size is reported before anything is written
        last = distribute.from_chief(strategy, lambda: begin_run(folder, recipe, dataset.info, model, start_from))
        reached = level_at(recipe.levels, last.epoch) if last else 0
        if last:
            model = (
                at_level(network, recipe, dataset.steps_per_epoch, finest, reached, dataset.info) if reached else model
            )
            last.restore(model)
    first_epoch, seconds = (last.epoch, last.seconds) if last else (0, 0.0)

    guard = DivergenceGuard()
    start = time.perf_counter() - seconds
    ends = [0, *itertools.accumulate(level.epochs for level in recipe.levels)]
    for number in range(reached, finest + 1):
        at_size = dataset.at_resolution(recipe.levels[number].factor)
        with strategy.scope():
            model = at_level(model, recipe, dataset.steps_per_epoch, reached, number, dataset.info)
        reached, first_epoch = number, max(first_epoch, ends[number])
        # The guard comes first, so that it sees the weights before any other callback acts on them.
        used = [guard, *callbacks]
        if is_chief:
            used = [guard, *_writers(folder, callbacks, at_size if monitor else None, time.perf_counter() - start)]
            if finest and verbose:
                print(f"Level {number + 1} of {finest + 1}: {recipe.levels[number].words}", flush=True)
        fit(model, at_size, recipe, used, first_epoch, verbose if is_chief else 0, ends[number + 1])
        if model.stop_training:
            break
    with strategy.scope():
        model = at_level(model, recipe, dataset.steps_per_epoch, reached, finest, dataset.info)
    seconds = time.perf_counter() - start
    metrics = {
        **evaluate_part(model, dataset, recipe),
        **_further_evaluations(model, dataset, recipe),
        "seconds": round(seconds, 3),
        "trainable_weights": sum(int(np.prod(weight.shape)) for weight in model.trainable_weights),
        "diverged": dataclasses.asdict(guard.divergence) if guard.divergence else None,
    }
    if finest:
        metrics["levels"] = [level.words for level in recipe.levels]
    x, labels = dataset.evaluation["test"].spread(TASKS[recipe.task].shown)
    shown = x, labels, model.predict(x, verbose=0)
    # The other workers wait for the chief to write: a worker that left earlier would seem lost.
    distribute.from_chief(strategy, lambda: _write(folder, recipe, model, metrics, shown, dataset.info))

    result = Result(folder, model, metrics)
    if guard.divergence:
        raise DivergedError(guard.divergence, result)
    return result


def _writers(folder: RunFolder, callbacks, watched: data.Data | None, seconds: float) -> list:
    """Return callbacks that write the files of a run, with those of the user among them.

    Args:
        folder: Folder of the run.
        callbacks: Callbacks of the user.
        watched: Data at which the stability is watched; None for no watch.
        seconds: Time that earlier epochs took.
    """
    if watched is not None:
        x, _ = watched.evaluation["test"].spread(4)
        callbacks = [StabilityMonitor(x, folder.logs), *callbacks]
    return [
        keras.callbacks.CSVLogger(folder.history, append=True),
        keras.callbacks.TensorBoard(folder.logs, write_graph=False),
        *callbacks,
        # The checkpoint comes last: the other callbacks have then changed the weights and written their files.
        CheckpointWriter(CheckpointFolder(folder.checkpoints), seconds),
    ]


def _further_evaluations(model: keras.Model, dataset: data.Data, recipe: Recipe) -> dict:
    """Return the evaluations that a recipe asks for beside that of the test examples, by name."""
    results = {}
    if recipe.evaluate_flipped:
        results["flipped"] = evaluate_part(model, dataset, recipe, flipped=True)
    if (recipe.ema or recipe.recalibrate) and dataset.validation is not None:
        # The batch statistics are better than those of the last validation of the training.
        results["validation"] = evaluate_part(model, dataset, recipe, "validation")
    return results


def _write(folder: RunFolder, recipe: Recipe, model: keras.Model, metrics: dict, shown: tuple, info: data.Info):
    """Write the results of a run; `shown` holds some test examples, their labels and their predictions."""
    from keras_pdecnn import plotting

    x, labels, outputs = shown
    task = TASKS[recipe.task]
    model.save(folder.model)
    folder.write_metrics(metrics)
    curves = plotting.training_curves(folder.read_history(), task.monitor, task.monitor_title, task.in_percent)
    curves.savefig(folder.training_curves)
    quantity = task.quantity if recipe.has_probabilities else "score"
    for name, figure in task.draw(x, labels, outputs, {**metrics, "quantity": quantity}, info).items():
        figure.savefig(folder.path / f"{name}.png")
