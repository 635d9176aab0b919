"""The command `keras-pdecnn stability`: the steps of the network of a run, or its accuracy under attack."""

from __future__ import annotations

import csv
import dataclasses
import math
import os
import pathlib
import shlex
from collections.abc import Callable

import click

from keras_pdecnn.cli import progress
from keras_pdecnn.cli.command import Command
from keras_pdecnn.cli.paths import DataSource, ExistingPath
from keras_pdecnn.cli.settings import WrongInput, import_tensorflow, suggest
from keras_pdecnn.tasks import TASKS
from keras_pdecnn.utils.tables import markdown

_PATH = click.Path(path_type=pathlib.Path)
_CLAIMS = {
    "theorem": "a theorem: no step with h / h_max <= 1 enlarges the distance of two inputs",
    "linearisation": "no theorem: that of a linearisation constant in time, which guarantees nothing for the network",
    "comparison": "no theorem: that of the block without TV normalisation, for comparison; smaller steps can expand",
    None: "there is none",
}


class Numbers(click.ParamType):
    """Numbers separated by commas.

    Args:
        what: What they must be, in words, for messages.
        suits: Function of a tuple of finite numbers, which says whether they are that.
    """

    name = "number,…"

    def __init__(self, what: str, suits: Callable[[tuple[float, ...]], bool]):
        self.what, self.suits = what, suits

    def convert(self, value, param, ctx):
        if not isinstance(value, str):
            return value
        try:
            numbers = tuple(float(part) for part in value.split(","))
        except ValueError:
            numbers = ()
        if not (numbers and all(map(math.isfinite, numbers)) and self.suits(numbers)):
            raise WrongInput(
                f"{param.opts[0]} must be {self.what}, separated by commas. "
                f"Received: {param.opts[0]} {shlex.quote(value)}"
            )
        return numbers


@click.command(cls=Command)
@click.argument("run", type=ExistingPath("The run folder"))
@click.option(
    "--data",
    "source",
    type=DataSource(),
    help="Another data set of the same shape and classes; default: the data set of the run.",
)
@click.option("--examples", type=click.IntRange(1), help="Number of test examples; default 4, or 200 with --attack.")
@click.option("--csv", "file", type=_PATH, help="File, not existing yet, to which the rows are written as well.")
@click.option("--attack", is_flag=True, help="Print the accuracy under noise, blur and attacks instead.")
@click.option(
    "--norm", type=click.Choice(("l2", "linf")), default="l2", show_default=True, help="Norm that bounds the attacks."
)
@click.option(
    "--epsilon",
    type=Numbers("numbers of at least 0", lambda numbers: min(numbers) >= 0),
    help="Sizes of the attacks in the units of the data; default 1/8, 1/4, 1/2 of the range of the data for l2, and "
    "1/64, 1/32, 1/16 of it for linf.",
)
@click.option(
    "--range",
    "bounds",
    type=Numbers("two numbers, the smaller one first", lambda numbers: len(numbers) == 2 and numbers[0] < numbers[1]),
    help="Smallest and largest value of the data, low,high; default: those of the test examples.",
)
@click.option("--steps", type=click.IntRange(1), default=40, show_default=True, help="Number of steps of PGD.")
@click.option(
    "--restarts", type=click.IntRange(1), default=1, show_default=True, help="Number of random starts of PGD."
)
@click.option(
    "--seed", type=click.IntRange(0), default=0, show_default=True, help="Seed of the noise and of the random starts."
)
def stability(run, source, examples, file, attack, norm, epsilon, bounds, steps, restarts, seed):
    """Print how stable the network of the folder RUN is, step by step, at some test examples.

    Each row is a step, with the certified norms of its convolutions, its size h and the largest size h_max of the
    theory, the spectral radius of its Jacobian, the growth of a small disturbance since the start of the block, the
    norm of the features, and for reversible blocks the error of going to the end of the block and back.

    With --attack, the rows are the accuracy under noise, salt and pepper, blur, and gradient attacks. The rows "any,
    l2" are the accuracy that is certain under any change of this size, which is low unless the network is provable.
    """
    import_tensorflow("stability")
    from keras_pdecnn import training
    from keras_pdecnn.runs import RunFolder
    from keras_pdecnn.training.failures import report_unreadable

    if file is not None and (file.exists() or not file.parent.is_dir()):
        raise WrongInput(f"The file of the rows must not exist yet, and its folder must exist. Received: {str(file)!r}")
    folder = RunFolder(run)
    recipe, info = folder.read_config()
    if attack and not TASKS[recipe.task].has_labels:
        raise WrongInput(
            f"Attacks look for a change of the class of an example. Received: --attack, task={recipe.task!r}"
        )
    model = folder.load_model()
    dataset = training.load_like(recipe, info, source)
    with report_unreadable():
        x, y = dataset.evaluation["test"].spread(examples or (200 if attack else 4))
        if attack:
            bounds = _range(dataset.test) if bounds is None else _check_range(bounds, x)
    if attack:
        rows = _attack(model, x, y, dataset.info.name, norm, epsilon, bounds, steps, restarts, seed)
    else:
        rows = _report(model, x, dataset.info.name, seed)
    if file is not None:
        _write_csv(file, rows)
    path = shlex.quote(os.fspath(run))
    has_attacks = TASKS[recipe.task].has_labels and not attack
    suggest(f"keras-pdecnn stability {path} --attack" if has_attacks else f"keras-pdecnn export {path}")


def _report(model, x, name: str, seed: int) -> list:
    from keras_pdecnn.stability.report import passed_limits, report

    rows = report(model, x, seed=seed, progress=lambda blocks: progress.bar(blocks, lambda block: block[0].name))
    heads = ["block", "step", "||K1||", "||K2||", "h", "h / h_max", "spectral radius", "growth", "norm", "round trip"]
    lines = [
        [
            row.block,
            str(row.step),
            *map(_number, (row.norm_1, row.norm_2, row.step_size, row.ratio, row.spectral_radius, row.growth)),
            _number(row.energy),
            "" if row.round_trip is None else f"{row.round_trip:.1e}",
        ]
        for row in rows
    ]
    click.echo(f"{name}: {len(x)} test examples\n\n{markdown(heads, lines)}")
    blocks = {row.block: row for row in rows}
    for kind, text in _CLAIMS.items():
        if names := [block for block, row in blocks.items() if row.claim == kind]:
            click.echo(f"h_max of {', '.join(names)}: {text}.")
    for text in passed_limits(rows).values():
        click.echo(f"Warning: {text}", err=True)
    return rows


def _attack(model, x, y, name, norm, epsilon, bounds, steps, restarts, seed) -> list:
    from keras_pdecnn.stability import accuracies

    rows = accuracies(model, x, y, norm, epsilon, bounds, seed, progress.bar, steps=steps, restarts=restarts)
    lines = [
        [
            row.change,
            f"{_number(row.strength)} {row.unit}" if row.unit else "",
            "" if row.of_range is None else f"{row.of_range:.3g}",
            f"{100 * row.accuracy:.2f} %",
        ]
        for row in rows
    ]
    low, high = bounds
    click.echo(f"{name}: {len(x)} test examples; raw units from {low:g} to {high:g}; PGD of {steps} steps\n")
    click.echo(markdown(["change", "strength", "of the range", "accuracy"], lines), nl=False)
    return rows


def _range(dataset) -> tuple[float, float]:
    """Return the smallest and the largest entry of the examples."""
    import numpy as np

    extremes = [(np.min(x), np.max(x)) for x, _ in dataset]
    return float(min(low for low, _ in extremes)), float(max(high for _, high in extremes))


def _check_range(bounds: tuple[float, float], x) -> tuple[float, float]:
    """Return the bounds of --range; raise an error if examples are outside."""
    low, high = bounds
    if x.min() < low or x.max() > high:
        raise WrongInput(
            f"--range must hold the test examples, whose values lie between {x.min():g} and {x.max():g}. "
            f"Received: --range {low:g},{high:g}"
        )
    return bounds


def _number(value) -> str:
    return "" if value is None else f"{value:.4g}"


def _write_csv(path: pathlib.Path, rows: list):
    try:
        with open(path, "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, [field.name for field in dataclasses.fields(rows[0])])
            writer.writeheader()
            writer.writerows(map(dataclasses.asdict, rows))
    except OSError as error:
        raise click.ClickException(f"The rows could not be written: {error}") from error
