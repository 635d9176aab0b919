"""Options that are settings of a recipe, and the report of wrong input."""

from __future__ import annotations

import dataclasses
import os
import shlex
import types
import typing

import click

from keras_pdecnn.cli import progress
from keras_pdecnn.recipes import RECIPES, Recipe, for_source, phases
from keras_pdecnn.tasks import DEFAULT, TASKS
from keras_pdecnn.utils import arguments, files
from keras_pdecnn.utils.streams import quiet

_PART = 1000  # characters; a message about a damaged file may hold names of any length


class WrongInput(click.ClickException):
    """Wrong input, which is reported in one line on stderr, with exit code 2."""

    exit_code = 2


def one_line(error) -> str:
    """Return the message of an error as one line; a very long one is cut in its middle."""
    text = " ".join(str(error).split())
    return text if len(text) <= 2 * _PART else f"{text[:_PART]} … {text[-_PART:]}"


class Setting(click.ParamType):
    """The text of a field of `Recipe`: a number, a word, a list with commas, or none if the field may be None.

    Args:
        field: Name of the field.
        hint: Type of the field.
    """

    def __init__(self, field: str, hint):
        self.field = field
        alternatives = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
        self.optional = types.NoneType in alternatives
        self.scalar = next((kind for kind in alternatives if kind in (int, float, str)), None)
        self.words = self.scalar is float and str in alternatives  # "auto", for example, may stand for a number
        sequence = next((kind for kind in alternatives if typing.get_origin(kind) is tuple), None)
        entry = typing.get_args(sequence)[0] if sequence else None
        self.entry = self.scalar if isinstance(entry, types.UnionType) else entry
        names: dict = {
            str: "text",
            int: "integer",
            float: "|".join(("number", *(arguments.STEP_RULES if self.words else ()))),
        }
        kind = names[self.scalar or self.entry]
        self.name = f"{kind},…" if self.entry else kind

    def convert(self, value, param, ctx):
        if not isinstance(value, str) or (self.optional and value.lower() == "none"):
            return None if isinstance(value, str) else value
        try:
            if self.entry and (self.scalar is None or "," in value):
                return tuple(self._read(self.entry, part.strip()) for part in value.split(",") if part.strip())
            return self._read(self.scalar, value)
        except ValueError:
            raise WrongInput(
                f"{self.field} must be {self.name}. Received: {self.field}={arguments.describe(value)}"
            ) from None

    def _read(self, kind, text: str):
        return text if self.words and text in arguments.STEP_RULES else kind(text)


def recipe_options(command):
    """Add an option for every field of `Recipe` except the data set, which is an argument."""
    hints = typing.get_type_hints(Recipe)
    for field in reversed(dataclasses.fields(Recipe)[1:]):
        option = "--" + field.name.replace("_", "-")
        if hints[field.name] in (bool, bool | None):
            option, kind = f"{option}/--{field.metadata['opposite'] or 'no-' + option[2:]}", None
        else:
            kind = Setting(field.name, hints[field.name])
        command = click.option(option, field.name, type=kind, default=None, help=field.metadata["help"])(command)
    return command


strategy_option = click.option(
    "--strategy",
    metavar="NAME",
    default="none",
    show_default=True,
    help="Devices: none is one device, mirrored all GPUs, multiworker the machines of TF_CONFIG, auto those available.",
)


def given_options(ctx: click.Context, names) -> set[str]:
    """Return the options that are on the command line; their values may be None (--box none)."""
    return {name for name in names if ctx.get_parameter_source(name) == click.core.ParameterSource.COMMANDLINE}


def chosen_recipe(dataset: str | None, name: str | None, changes: dict) -> Recipe:
    """Return the recipe of a data set, or of the named recipe's own data set, or of the digits, with changes.

    Some changes imply others, see `Recipe.with_settings` and the arguments `architecture` and `task` of `for_source`.
    """
    source = dataset or (RECIPES[name].data if name in RECIPES else "digits")
    with quiet():  # checks of some settings import Keras
        return for_source(source, name, changes.get("architecture"), changes.get("task")).with_settings(**changes)


def resumed_recipe(begun: Recipe, dataset: str | None, name: str | None, changes: dict) -> Recipe:
    """Return the recipe with which a run is resumed: that of the run, unless another data set or recipe is named.

    Data that are no longer at their path may be named at another one.
    A single number of epochs that is not smaller than that of the run makes its last phase longer.
    """
    total = phases.single(changes.get("epochs"))
    if total is not None and total >= sum(begun.epochs):
        longer = {"epochs": phases.extended(begun.epochs, total), "learning_rates": begun.learning_rates}
        changes = {**longer, **changes, "epochs": longer["epochs"]}
    if name is None and (dataset is None or _may_be(dataset, begun.data)):
        return begun.with_settings(**({} if dataset is None else {"data": dataset}), **changes)
    return chosen_recipe(dataset, name, changes)


def _may_be(dataset: str, begun: str) -> bool:
    """Return whether a source is that of a run, or may be its new path, as there is nothing at the old one."""
    from keras_pdecnn.data.sources import absolute

    return absolute(dataset) == absolute(begun) or files.is_missing(begun)


def import_tensorflow(command: str):
    """Import TensorFlow without its first lines; raise an error that names the command if it is not installed."""
    from keras_pdecnn.utils import optional

    with quiet():
        return optional.tensorflow(f"keras-pdecnn {command}")


def report_accuracy(metrics: dict, task: str = DEFAULT):
    """Print the results of an evaluation for a task, and those of one with mirrored copies if there is one."""
    click.echo(f"Test {TASKS[task].report(metrics)}")
    if "flipped" in metrics:
        text = TASKS[task].report(metrics["flipped"]).removeprefix("accuracy: ")
        click.echo(f"Test accuracy, averaged with mirrored copies: {text}")


def suggest(*commands: str):
    """Tell a person at a terminal what to do next; other programs may read the output and the messages."""
    if progress.is_watched():
        click.echo(f"Next: {', or '.join(commands)}", err=True)


def suggest_uses(run: str | os.PathLike, task: str = DEFAULT):
    """Print what can be done with the folder of a run for a task."""
    path = shlex.quote(os.fspath(run))
    commands = [f"predict {path} FILE", f"export {path}"]
    commands[:0] = [f"explain {path}"] if task == DEFAULT else []
    suggest(*(f"keras-pdecnn {words}" for words in commands))
