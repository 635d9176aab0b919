"""From a recipe to a trained network: load, build, compile, fit, evaluate; and a whole run with its folder."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import os
import time

import keras
import numpy as np
import tensorflow as tf

from keras_pdecnn import data, distribute, models, plotting, replicated
from keras_pdecnn.callbacks import Divergence, DivergenceGuard
from keras_pdecnn.checkpoints import Checkpoint, CheckpointError, CheckpointFolder, CheckpointWriter
from keras_pdecnn.recipes import Recipe
from keras_pdecnn.runs import RunFolder, default_path


class DivergedError(RuntimeError):
    """The loss stopped being finite; the run folder holds the last good model.

    Attributes:
        divergence: Where, a `callbacks.Divergence`.
        result: The `Result` of the run.
    """

    def __init__(self, divergence: Divergence, result: Result):
        super().__init__(
            f"The training diverged: {divergence}. The last good weights are in {str(result.folder.path)!r}."
        )
        self.divergence = divergence
        self.result = result


class StoppedError(RuntimeError):
    """A run stopped before its end: a file could not be written, or another worker no longer answers.

    What the run folder holds is whole; `run(…, resume=True)` goes on from its last checkpoint.
    """


@dataclasses.dataclass(frozen=True)
class Result:
    """What a run leaves.

    Args:
        folder: The `runs.RunFolder`.
        model: The trained model.
        metrics: What metrics.json holds.
    """

    folder: RunFolder
    model: models.PDEModel
    metrics: dict


def load_data(recipe: Recipe) -> data.Data:
    """Load the data set of a recipe, with its split and its augmentation.

    Example:
        >>> load_data(Recipe(batch_size=64)).info.classes
        10
    """
    augmentation = data.Augmentation(recipe.flip, recipe.pad, recipe.rotate, recipe.zoom)
    return data.load(
        recipe.data,
        recipe.batch_size,
        validation=recipe.validation,
        augmentation=None if augmentation == data.Augmentation() else augmentation,
        seed=recipe.seed,
        data_dir=recipe.data_dir,
        size=recipe.size,
        drop_remainder=recipe.drop_remainder,
    )


def load_like(recipe: Recipe, info: data.Info, source: str | None = None) -> data.Data:
    """Load a data set for a network that was trained by `recipe` on the data `info`.

    Args:
        recipe: Recipe of the network.
        info: What its data were.
        source: Source of other data; default None, the recipe's own. Images in a folder are resized.

    Raises:
        ValueError: If the data cannot be read, or their shape or classes are not those of the network.

    Example:
        >>> digits = load_data(Recipe())
        >>> load_like(Recipe(), digits.info).info.sizes["test"]
        360
    """
    if source is not None and source != recipe.data:
        size = info.input_shape[:-1] if os.path.isdir(os.path.expanduser(source)) else None
        # What is wanted is the test part; there may be too few examples for a validation part.
        recipe = dataclasses.replace(recipe, data=source, size=size, validation=0.0)
    found = load_data(recipe)
    expected, received = ((i.input_shape, i.classes) for i in (info, found.info))
    if expected != received:
        raise ValueError(
            f"The network takes examples of shape {expected[0]} and {expected[1]} classes. "
            f"Received: {recipe.data!r} with shape {received[0]} and {received[1]} classes"
        )
    numbers = tuple(map(str, range(info.classes)))
    if len({numbers, info.class_names, found.info.class_names}) > 2:
        raise ValueError(
            f"The network knows the classes {', '.join(info.class_names)}. "
            f"Received: {recipe.data!r} with the classes {', '.join(found.info.class_names)}"
        )
    return found


def build(recipe: Recipe, info: data.Info) -> models.PDEModel:
    """Build the network of a recipe for a data set; its initial weights depend on `recipe.seed` alone.

    The seed is set with `keras.utils.set_random_seed`, for Python, NumPy and TensorFlow.

    Raises:
        ValueError: If the network does not suit the examples, or its settings do not fit together.

    Example:
        >>> build(Recipe(widths=4), load_data(Recipe()).info).output_shape
        (None, 10)
    """
    keras.utils.set_random_seed(recipe.seed)
    with _dtype_policy(recipe.dtype):
        return models.ARCHITECTURES[recipe.architecture](
            info.input_shape,
            classes=info.classes,
            widths=recipe.widths,
            head_width=recipe.head_width,
            steps=recipe.steps,
            step_size=recipe.step_size,
            time_smoothness=recipe.time_smoothness,
            weight_decay=recipe.weight_decay,
            box=recipe.box,
            synchronized=recipe.synchronized,
            kernel_size=recipe.kernel_size,
            activation=recipe.activation,
            normalization=recipe.normalization,
            padding=recipe.padding,
            backprop=recipe.backprop,
        )


def learning_rate(recipe: Recipe, steps_per_epoch: int):
    """Return the learning rate of a recipe: a number, or a schedule that changes with the first batch of a phase.

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
    """Compile a model for a recipe: SGD with momentum, cross-entropy of integer labels, accuracy.

    Args:
        model: The model; its output are probabilities.
        recipe: Learning rates, epochs and momentum.
        steps_per_epoch: Number of batches of an epoch.

    Returns:
        The model.

    Example:
        >>> recipe = Recipe(widths=4, momentum=0.8)
        >>> model = compile(build(recipe, load_data(recipe).info), recipe, steps_per_epoch=43)
        >>> model.optimizer.momentum
        0.8
    """
    optimizer = keras.optimizers.SGD(learning_rate(recipe, steps_per_epoch), momentum=recipe.momentum)
    if recipe.dtype == "mixed_float16":
        # What Keras does by itself, but the wrapper is then not saved with the model.
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"], auto_scale_loss=False)
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
        callbacks: Keras callbacks.
        first_epoch: Number of epochs that the model has been trained for; default 0.
        verbose: As in `keras.Model.fit`; default "auto", a progress bar.

    Returns:
        The history that Keras returns.

    Example:
        >>> recipe = Recipe(widths=4, steps=1, epochs=1, learning_rates=0.1, batch_size=256)
        >>> digits = load_data(recipe)
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


def evaluate(model: keras.Model, dataset, verbose: int | str = 0) -> dict:
    """Evaluate a model on a dataset of (x, label).

    Args:
        model: The model; its output are the probabilities of the classes.
        dataset: A tf.data.Dataset of batches, each pass the same.
        verbose: As in `keras.Model.predict`; default 0.

    Returns:
        loss (mean cross-entropy and regularisation, as in `keras.Model.evaluate`), accuracy, and confusion_matrix, a
        list of rows: entry `[i][j]` counts the examples of class i that were taken for class j.

    Example:
        >>> recipe = Recipe(widths=4, steps=1, epochs=1, learning_rates=0.1)
        >>> digits = load_data(recipe)
        >>> model = compile(build(recipe, digits.info), recipe, digits.steps_per_epoch)
        >>> sum(map(sum, evaluate(model, digits.test)["confusion_matrix"]))
        360
    """
    probabilities = model.predict(dataset, verbose=verbose)
    labels = np.concatenate([np.asarray(y) for _, y in dataset])
    classes = probabilities.shape[-1]
    entropy = keras.losses.sparse_categorical_crossentropy(labels, probabilities)
    confusion = np.bincount(labels * classes + probabilities.argmax(-1), minlength=classes**2)
    return {
        "loss": float(keras.ops.mean(entropy)) + sum(float(loss) for loss in model.losses),
        "accuracy": float(np.mean(probabilities.argmax(-1) == labels)),
        "confusion_matrix": confusion.reshape(classes, classes).tolist(),
    }


def run(
    recipe: Recipe | None,
    folder=None,
    callbacks=(),
    verbose: int | str = "auto",
    strategy: tf.distribute.Strategy | None = None,
    resume: bool = False,
) -> Result:
    """Train a network by a recipe and write the run folder, with a checkpoint after each epoch.

    Over several workers each of them calls this; the recipe of the chief counts, and only the chief writes files.

    Args:
        recipe: What to train on what, and how. None with `resume`: as the folder says.
        folder: Path of the run folder, which must not exist; default None, runs/<data>-<architecture>-<time>.
        callbacks: Further Keras callbacks; a checkpoint does not hold their state.
        verbose: As in `keras.Model.fit`; default "auto", a progress bar. Workers other than the chief print nothing.
        strategy: On which devices, see `distribute.strategy`; default None, one device.
        resume: Whether the folder may exist, with a run of this recipe that was interrupted: the training goes on
            from the last whole checkpoint and ends, with `tf.config.experimental.enable_op_determinism`, with the
            weights of one that was not interrupted, bit for bit. Default False.

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
    with _report_lost_worker(strategy):
        recipe, path = distribute.from_chief(strategy, lambda: _open(recipe, folder, resume))
        with _report_files(path):
            return _train(recipe, RunFolder(path), callbacks, verbose, strategy)


def _train(recipe: Recipe, folder: RunFolder, callbacks, verbose, strategy: tf.distribute.Strategy) -> Result:
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
        **evaluate(model, dataset.test),
        "seconds": round(seconds, 3),
        "trainable_weights": sum(int(np.prod(weight.shape)) for weight in model.trainable_weights),
        "diverged": dataclasses.asdict(guard.divergence) if guard.divergence else None,
    }
    x, labels = _spread(dataset.test, dataset.info.sizes["test"], count=12)
    shown = x, labels, model.predict(x, verbose=0)
    # The other workers wait for it: whoever leaves earlier looks lost.
    distribute.from_chief(strategy, lambda: _write(folder, model, metrics, shown, dataset.info.class_names))

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


def _write(folder: RunFolder, model: keras.Model, metrics: dict, shown: tuple, class_names):
    """Write what a run ends with; `shown` are some test examples, their labels and their predictions."""
    x, labels, probabilities = shown
    model.save(folder.model)
    folder.write_metrics(metrics)
    figures = {
        folder.training_curves: plotting.training_curves(folder.read_history()),
        folder.confusion_matrix: plotting.confusion_matrix(metrics["confusion_matrix"], class_names),
        folder.predictions: plotting.predictions(x, labels, probabilities, class_names),
    }
    for path, figure in figures.items():
        figure.savefig(path)


@contextlib.contextmanager
def _report_files(path):
    """Raise a StoppedError if a file cannot be written."""
    try:
        yield
    except CheckpointError as error:
        raise StoppedError(str(error)) from error
    except OSError as error:
        raise StoppedError(f"The run in {str(path)!r} stopped, a file could not be written: {error}.") from error


@contextlib.contextmanager
def _report_lost_worker(strategy: tf.distribute.Strategy):
    """Raise a StoppedError on the other workers if one of them is gone."""
    try:
        yield
    except _LOST as error:
        if not distribute.in_cluster(strategy):
            raise
        index, count = distribute.worker(strategy)
        reason = str(error).partition("The error could be from a previous operation")[0].strip().splitlines()
        raise StoppedError(
            f"Worker {index} of {count} stopped, as another one no longer answers: start all of them again with "
            f"--resume. TensorFlow says: {' '.join(reason[-3:])}"
        ) from error


# What TensorFlow raises, by the moment, when a worker is gone.
_LOST = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.InternalError,
)


def _spread(dataset, size: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return examples at equal distances over a dataset, so that one sorted by class shows its classes."""
    wanted = set(np.linspace(0, size - 1, min(count, size)).round().astype(int).tolist())
    first = 0
    x: list = []
    labels: list = []
    for batch, y in dataset:
        rows = [index - first for index in sorted(wanted) if first <= index < first + len(y)]
        x.extend(np.asarray(batch)[rows])
        labels.extend(np.asarray(y)[rows])
        first += len(y)
    return np.stack(x), np.array(labels)


@contextlib.contextmanager
def _dtype_policy(name: str):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)
