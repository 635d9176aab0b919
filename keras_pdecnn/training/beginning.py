"""Beginning a run, or resuming one that was interrupted."""

from __future__ import annotations

from keras_pdecnn import data
from keras_pdecnn.recipes import Recipe
from keras_pdecnn.runs import RunFolder, default_path
from keras_pdecnn.runs.checkpoints import Checkpoint, CheckpointFolder


def open_run(recipe: Recipe | None, path, resume: bool) -> tuple[Recipe, str]:
    """Return the recipe and the path of a run that is to begin or to be resumed.

    Args:
        recipe: Recipe of the run; None with `resume` stands for the recipe in the folder.
        path: Path of the run folder; None stands for a new one in `runs`.
        resume: Whether the folder may exist, with a run of this recipe.

    Raises:
        ValueError: If the folder exists and is not to be resumed, has another recipe, or there is no recipe.
    """
    if path is None and (resume or recipe is None):
        raise ValueError("The folder of the run to be resumed must be named. Received: folder=None")
    folder = RunFolder(default_path(recipe) if path is None and recipe else path)
    if not (resume and folder.is_begun()):
        if recipe is None:
            raise ValueError(f"There is no run to resume and no recipe to begin with. Received: {str(folder.path)!r}")
        folder.check_vacant(allow_empty=resume)
        return recipe, str(folder.path)
    begun, _ = folder.read_config()
    if recipe not in (None, begun):
        old, new = begun.to_dict(), recipe.to_dict()
        differences = ", ".join(f"{name}={new[name]!r} (was {old[name]!r})" for name in old if old[name] != new[name])
        raise ValueError(f"A run must be resumed with the settings that it began with. Received: {differences}")
    return begun, str(folder.path)


def begin_run(folder: RunFolder, recipe: Recipe, info: data.Info) -> Checkpoint | None:
    """Make the folder of a new run; of a resumed one, return the last checkpoint and cut the history off after it."""
    if not folder.is_begun():
        folder.create()
        folder.write_config(recipe, info)
    last = CheckpointFolder(folder.checkpoints).read_last()
    folder.cut_history(last.epoch if last else 0)
    return last
