"""Beginning a run, or resuming one that was interrupted."""

from __future__ import annotations

import dataclasses
import os

import keras

from keras_pdecnn import data
from keras_pdecnn.recipes import Recipe
from keras_pdecnn.runs import RunFolder, default_path
from keras_pdecnn.runs.checkpoints import Checkpoint, CheckpointFolder
from keras_pdecnn.training.inputs import check_present, located
from keras_pdecnn.utils import files
from keras_pdecnn.utils.arguments import describe


def open_run(recipe: Recipe | None, path, resume: bool, start_from: str | None = None) -> tuple[Recipe, str]:
    """Return the recipe and the path of a run that is to begin or to be resumed.

    Args:
        recipe: Recipe of the run; None with `resume` stands for the recipe in the folder. It may name the new path of
            data that have been moved.
        path: Path of the run folder; None stands for a new one in `runs`.
        resume: Whether the folder may exist, with a run of this recipe, whose last phase may have been shorter.
        start_from: Path of the network whose weights the run starts from; default None, random weights.

    Raises:
        ValueError: If the folder exists and is not to be resumed, has another recipe or other weights to start from,
            its data are gone, or there is no recipe.
    """
    if path is None and (resume or recipe is None):
        raise ValueError("The folder of the run to be resumed must be named. Received: folder=None")
    if path is None:
        assert recipe is not None  # for mypy
        return recipe, str(_new_folder(recipe).path)
    folder = RunFolder(path)
    if not (resume and folder.is_begun()):
        if recipe is None:
            raise ValueError(f"There is no run to resume and no recipe to begin with. Received: {str(folder.path)!r}")
        if resume:
            folder.check_vacant(allow_empty=True)
        else:
            folder.create(is_new=True)  # at once, as another run may begin at the same path
        return recipe, str(folder.path)
    begun = located(folder.read_config()[0])
    if start_from is not None and start_from != folder.read_start():
        raise ValueError(
            f"The run has begun with other weights, {folder.read_start() or 'random ones'}. "
            f"Received: start_from={start_from!r}"
        )
    if recipe and recipe.levels[:-1] != begun.levels[:-1] and recipe.refinement == begun.refinement == "auto":
        raise ValueError(
            "With the refinement 'auto', another number of epochs has other levels. "
            f"Received: epochs={list(recipe.epochs)} (was {list(begun.epochs)})"
        )
    asked = None if recipe is None else located(recipe)
    if asked and files.is_missing(begun.data):  # moved, or seen from another machine; `begin_run` compares the data
        begun = dataclasses.replace(begun, data=asked.data)
    check_present(begun)
    if asked not in (None, begun) and not (asked and _is_longer(asked, begun)):
        assert asked is not None  # for mypy
        old, new = begun.to_dict(), asked.to_dict()
        differences = ", ".join(f"{name}={new[name]!r} (was {old[name]!r})" for name in old if old[name] != new[name])
        raise ValueError(
            "A run must be resumed with the settings that it began with; only its last phase may become longer. "
            f"Received: {differences}"
        )
    return recipe or begun, str(folder.path)


def _new_folder(recipe: Recipe) -> RunFolder:
    """Make a folder in `runs`, which no other run takes that begins at the same moment."""
    while True:
        folder = RunFolder(default_path(recipe))
        try:
            folder.create(is_new=True)
        except ValueError:
            if not os.path.lexists(folder.path):
                raise
        else:
            return folder


def _is_longer(recipe: Recipe, begun: Recipe) -> bool:
    """Return whether a recipe differs from that of a run only by more epochs in its last phase."""
    same = dataclasses.replace(recipe, epochs=begun.epochs, learning_rates=begun.learning_rates) == begun
    return (
        same
        and recipe.learning_rates == begun.learning_rates
        and recipe.epochs[:-1] == begun.epochs[:-1]
        and recipe.epochs[-1] > begun.epochs[-1]
    )


def begin_run(
    folder: RunFolder, recipe: Recipe, info: data.Info, model: keras.Model, start_from: str | None
) -> Checkpoint | None:
    """Make the folder of a new run; of a resumed one, return the last checkpoint and cut the history off after it.

    A resumed run must have the data that it began with.

    A run that starts from trained weights has a checkpoint of them, as their file may be gone when it is resumed.
    """
    checkpoints, recipe = CheckpointFolder(folder.checkpoints), located(recipe)
    info = dataclasses.replace(info, skipped=tuple(map(os.path.abspath, info.skipped)))
    if not folder.is_begun():
        folder.create()
        for path in checkpoints.paths():  # of a run that was interrupted before it began, perhaps from other weights
            path.unlink()
        if start_from is not None:
            checkpoints.write(Checkpoint.of(model, epoch=0, seconds=0.0))
        folder.write_config(recipe, info, start_from)
    else:
        begun = folder.read_config()
        _check_data(begun, (recipe, info))
        if begun[0] != recipe:
            folder.write_config(recipe, info, folder.read_start())
    last = checkpoints.read_last()
    folder.cut_history(last.epoch if last else 0)
    return last


def _check_data(of_begun: tuple[Recipe, data.Info], of_now: tuple[Recipe, data.Info]):
    """Raise ValueError if the data are not those that a run has begun with, as far as their properties tell."""
    begun, now = _wherever(*of_begun), _wherever(*of_now)
    changed = {name: value for name, value in begun.items() if now[name] != value}
    if changed:
        differences = [f"{name}={describe(now[name])} (was {describe(value)})" for name, value in changed.items()]
        raise ValueError(
            "A run must be resumed with the data that it began with, which have changed. "
            f"Received: {', '.join(differences)}"
        )


def _wherever(recipe: Recipe, info: data.Info) -> dict:
    """Return the properties of data, but not where they are: data may have been moved or renamed."""
    folder = os.path.dirname(recipe.data) if recipe.data.lower().endswith(".csv") else recipe.data
    skipped = tuple(os.path.relpath(file, folder) for file in info.skipped)
    return {**dataclasses.asdict(info), "name": "", "skipped": skipped}
