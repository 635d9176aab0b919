"""The results of a search: its trials as a table and a picture, and the best network, trained by its whole recipe."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import shutil
import statistics
from collections.abc import Iterable
from typing import TYPE_CHECKING

from keras_pdecnn import plotting, training
from keras_pdecnn.recipes import Recipe
from keras_pdecnn.runs import RunFolder
from keras_pdecnn.tasks import DEFAULT, TASKS
from keras_pdecnn.tuning.oracles import reason
from keras_pdecnn.tuning.search import Search
from keras_pdecnn.tuning.space import mean_step_size
from keras_pdecnn.utils import tables

if TYPE_CHECKING:
    import tensorflow as tf

# These columns are always shown, others if they were searched.
_COLUMNS = ("architecture", "blocks", "width", "growth", "steps", "step_size")


@dataclasses.dataclass(frozen=True)
class Outcome:
    """A trial that has ended.

    Args:
        trial: Name of the trial.
        accuracy: Validation accuracy, or the `monitor` of another task; None if the trial failed.
        reason: Reason of the failure; None if the trial did not fail.
        epochs: Number of epochs after which the trial stopped.
        weights: Number of trainable weights.
        recipe: The recipe that its hyperparameters stand for.
    """

    trial: str
    accuracy: float | None
    reason: str | None
    epochs: int
    weights: int
    recipe: Recipe


def outcomes(tuner: Search) -> list[Outcome]:
    """Return the trials of a search that have ended, in the order in which they started."""
    oracle, hypermodel = tuner.oracle, tuner.hypermodel
    ended = []
    for trial_id in oracle.start_order:
        trial = oracle.get_trial(trial_id)
        if trial.status not in ("COMPLETED", "FAILED"):
            continue
        recipe = hypermodel.recipe(trial.hyperparameters)
        completed = trial.status == "COMPLETED"
        ended.append(
            Outcome(
                trial=trial_id,
                accuracy=float(trial.score) if completed else None,
                reason=None if completed else reason(trial) or "unknown",
                epochs=oracle.trial_epochs(trial),
                weights=hypermodel.count_weights(recipe),
                recipe=recipe,
            )
        )
    return ended


def best(trials: list[Outcome]) -> Outcome:
    """Return the trial with the highest validation accuracy, and of several such trials the one with fewest weights."""
    return _ranked(trials)[0][1]


def to_markdown(trials: list[Outcome], searched: Iterable[str], count: int = 10, task: str = DEFAULT) -> str:
    """Return a table of the best trials, and one of the failed trials with the reasons.

    Args:
        trials: Trials of a search that have ended.
        searched: Names of the hyperparameters that were searched.
        count: Number of trials in the first table; default 10.
        task: Name of the task, whose metric is shown; default "classification".
    """
    ranked, failed = _ranked(trials), [outcome for outcome in trials if outcome.accuracy is None]
    others = [name for name in searched if name not in _COLUMNS]
    heads = ["network", "steps", "step size", "widths", *(name.replace("_", " ") for name in others)]

    def settings(recipe: Recipe) -> list[str]:
        values = [recipe.steps, recipe.step_size, recipe.widths]
        values += [recipe.learning_rates[0] if name == "learning_rate" else getattr(recipe, name) for name in others]
        return [recipe.architecture, *map(_text, values)]

    rows = [
        [str(rank), o.trial, TASKS[task].score(accuracy), *settings(o.recipe), f"{o.weights:,}", str(o.epochs)]
        for rank, (accuracy, o) in enumerate(ranked[:count], start=1)
    ]
    text = f"{len(trials)} trials: {len(ranked)} completed, {len(failed)} failed.\n\n"
    text += tables.markdown(["rank", "trial", _metric(task), *heads, "weights", "epochs"], rows)
    if failed:
        rows = [[o.trial, *settings(o.recipe), o.reason or ""] for o in failed]
        text += "\n" + tables.markdown(["failed trial", *heads, "reason"], rows)
    return text


def write(trials: list[Outcome], tuner: Search, folder: str | os.PathLike) -> str:
    """Write report.md and search.png into the folder of a search; return the text without the picture."""
    folder = pathlib.Path(folder).expanduser()
    task = tuner.hypermodel.start.task
    text = to_markdown(trials, tuner.hypermodel.space.ranges, task=task)
    figure = plotting.search(
        [
            {
                "accuracy": outcome.accuracy,
                "architecture": outcome.recipe.architecture,
                "steps": _mean(outcome.recipe.steps),
                "width": outcome.recipe.widths[0],
                "step_size": mean_step_size(outcome.recipe),
                "weights": outcome.weights,
            }
            for outcome in trials
        ],
        _metric(task),
        TASKS[task].in_percent,
    )
    figure.savefig(folder / "search.png")
    content = f"# Search of {tuner.hypermodel.start.data}\n\n{text}\n![Trials of the search](search.png)\n"
    (folder / "report.md").write_text(content, encoding="utf-8")
    return text


def train(
    outcome: Outcome,
    folder: str | os.PathLike,
    verbose: int | str = "auto",
    strategy: tf.distribute.Strategy | None = None,
) -> tuple[RunFolder, dict]:
    """Train the network of a trial by its whole recipe, as an ordinary run in the sub-folder best-<trial>.

    A run that has ended is not repeated, and one that was interrupted is continued.

    Args:
        outcome: The trial.
        folder: Folder of the search.
        verbose: As for `training.run`; default "auto".
        strategy: A `tf.distribute.Strategy`; default None.

    Returns:
        The folder of the run and its metrics.

    Raises:
        training.DivergedError: If the loss was no longer finite.
        training.StoppedError: If a file could not be written.
    """
    run = RunFolder(pathlib.Path(folder, f"best-{outcome.trial}"))
    if run.metrics.exists():
        metrics = run.read_metrics()
        if metrics["diverged"] is None:
            return run, metrics
        shutil.rmtree(run.path)  # on other devices it may not diverge
    return run, training.run(outcome.recipe, run.path, verbose=verbose, strategy=strategy, resume=True).metrics


def _metric(task: str) -> str:
    """Return the name of the metric by which the trials of a task are compared."""
    title = TASKS[task].monitor_title
    return f"validation {title.lower() if task == DEFAULT else title}"


def _ranked(trials: list[Outcome]) -> list[tuple[float, Outcome]]:
    """Return the completed trials with their accuracies, the best first."""
    completed = [(outcome.accuracy, outcome) for outcome in trials if outcome.accuracy is not None]
    return sorted(completed, key=lambda pair: (-pair[0], pair[1].weights))


def _mean(value: float | tuple[float, ...]) -> float:
    return statistics.mean(value) if isinstance(value, tuple) else value


def _text(value: object) -> str:
    if isinstance(value, tuple):
        return ", ".join(map(_text, value))
    return f"{value:.4g}" if isinstance(value, float) else str(value)
