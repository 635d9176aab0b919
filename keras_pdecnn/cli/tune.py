"""The command `keras-pdecnn tune`."""

from __future__ import annotations

import pathlib

import click

from keras_pdecnn.cli.command import Command
from keras_pdecnn.cli.paths import DataSource
from keras_pdecnn.cli.settings import (
    WrongInput,
    chosen_recipe,
    given_options,
    import_tensorflow,
    one_line,
    recipe_options,
    report_accuracy,
    strategy_option,
    suggest_uses,
)
from keras_pdecnn.recipes import RECIPES
from keras_pdecnn.recipes.searches import DEFAULT, METHODS, NAMES

_PATH = click.Path(path_type=pathlib.Path)


def parse_range(text: str) -> tuple[str, bool | tuple | list]:
    """Return the name and the range of NAME=low:high, of NAME=choice,choice,…, or of NAME, for its default range."""
    name, _, values = text.partition("=")
    name = name.replace("-", "_")
    if name not in NAMES:
        raise ValueError(f"--search must name one of {', '.join(NAMES)}. Received: {text!r}")
    if not values:
        return name, True
    if name in ("architecture", "activation"):
        return name, [choice.strip() for choice in values.split(",")]
    try:
        if ":" in values:
            low, high = map(_number, values.split(":"))
            if not low <= high:
                raise ValueError
            return name, (low, high)
        return name, list(map(_number, values.split(",")))
    except ValueError:
        raise ValueError(
            "The range of --search must be low:high, the smaller number first, or numbers separated by commas. "
            f"Received: {text!r}"
        ) from None


def _number(text: str) -> int | float:
    """Return a number as it is written, so that messages show it like that."""
    try:
        return int(text)
    except ValueError:
        return float(text)


@click.command(cls=Command)
@click.argument("dataset", required=False, type=DataSource())
@click.option("--recipe", metavar="NAME", help=f"Start from another recipe: {', '.join(RECIPES)}.")
@click.option(
    "--output", type=_PATH, help="Folder of the search; a search in it is continued. Default: searches/<data>-<method>."
)
@click.option("--method", type=click.Choice(METHODS), default="random", show_default=True, help="Method of the search.")
@click.option("--trials", type=int, help="Number of trials; default 12, or no limit for hyperband or with --budget.")
@click.option("--budget", type=int, help="Total number of epochs of all trials.")
@click.option(
    "--search",
    "searched",
    multiple=True,
    metavar="NAME[=RANGE]",
    help=f"Search a setting: {', '.join(NAMES)}. RANGE is low:high, or choices separated by commas. May be given more "
    f"than once. {', '.join(DEFAULT)} are searched unless they are given as settings below.",
)
@click.option(
    "--final-time", type=float, help="Keep steps * step size at this time; the step size follows from the steps."
)
@click.option("--trial-epochs", type=int, help="Number of epochs of a trial; default: half those of the recipe.")
@click.option(
    "--trial-validation",
    type=float,
    default=0.25,
    show_default=True,
    help="Fraction of the training part on which trials are compared.",
)
@click.option("--max-weights", type=int, help="Reject networks with more weights.")
@click.option(
    "--max-memory", type=float, help="Reject networks whose training is estimated to need more memory, in MB."
)
@click.option(
    "--max-failures",
    type=int,
    default=10,
    show_default=True,
    help="Number of consecutive failed trials after which the search gives up.",
)
@click.option(
    "--role", type=click.Choice(("chief", "worker")), help="Role of this process in a search by several processes."
)
@click.option("--address", metavar="HOST:PORT", help="Address at which the chief listens.")
@click.option(
    "--worker-id", help="Name of a worker; if it is started again with this name, it repeats its unfinished trial."
)
@click.option(
    "--patience",
    type=float,
    default=60.0,
    show_default=True,
    help="Seconds after which the trial of a worker that does not answer is given to another one.",
)
@click.option(
    "--verbose", type=click.IntRange(0, 2), default=1, help="0: silent, 1: progress (default), 2: every epoch."
)
@strategy_option
@recipe_options
@click.pass_context
def tune(
    ctx,
    dataset,
    recipe,
    output,
    method,
    trials,
    budget,
    searched,
    final_time,
    trial_epochs,
    trial_validation,
    max_weights,
    max_memory,
    max_failures,
    role,
    address,
    worker_id,
    patience,
    verbose,
    strategy,
    **settings,
):
    """Search the architecture, width, depth and step size of a network on DATASET.

    DATASET is a data set as in train. Its recipe is the first trial, and every setting that is given as an option is
    fixed. At the end, tables and pictures of the search are written, and the best network is trained by its whole
    recipe, into a run folder for evaluate and predict. After an interruption, the same command continues the search.

    To search with several processes, or on several machines that share a folder, start the same command with --role
    chief --address HOST:PORT once, and with --role worker --address HOST:PORT for each processor. With --strategy
    mirrored each trial is trained on all GPUs of its machine.
    """
    import_tensorflow("tune")
    from keras_pdecnn import distribute, training, tuning
    from keras_pdecnn.runs import data_name
    from keras_pdecnn.tuning import report, roles

    given = given_options(ctx, settings)
    start = chosen_recipe(dataset, recipe, {name: settings[name] for name in given})
    ranges: dict[str, bool | tuple | list] = {
        name: ("widths" if name == "width" else name) not in given for name in DEFAULT
    }
    ranges |= dict(map(parse_range, searched))
    hypermodel = tuning.PDEHyperModel(
        start,
        **ranges,
        final_time=final_time,
        epochs=trial_epochs,
        validation=trial_validation,
        max_weights=max_weights,
        max_memory=None if max_memory is None else 1e6 * max_memory,
    )
    if role is not None:
        roles.set_role(role, address, worker_id)
    if distribute.resolve(strategy) == "multiworker":
        raise WrongInput(
            "A trial runs on one machine; several machines share the trials of a search by --role. "
            f"Received: --strategy {strategy}, with the workers of TF_CONFIG"
        )
    scope = distribute.strategy(strategy)
    folder = output.expanduser() if output else pathlib.Path("searches", f"{data_name(start)}-{method}")
    if trials is None and budget is None and method != "hyperband":
        trials = 12
    try:
        tuner = tuning.search(
            hypermodel, folder, method, trials, budget, start.seed, max_failures, patience, scope, verbose
        )
        if roles.is_worker():
            click.echo("There are no more trials.")
            return
        outcomes = report.outcomes(tuner)
        click.echo(report.write(outcomes, tuner, folder))
        if tuner.oracle.gave_up:
            click.echo(f"The search has given up: the last {max_failures} trials failed.", err=True)
        elif exhaustion := tuner.oracle.exhaustion():
            click.echo(exhaustion, err=True)
        best = report.best(outcomes)
        click.echo(f"Training the network of trial {best.trial} by its whole recipe.")
        run, metrics = report.train(best, folder, verbose, scope)
    except (tuning.SearchFailedError, roles.ChiefError, training.DivergedError, training.StoppedError) as error:
        raise click.ClickException(one_line(error)) from error
    report_accuracy(metrics, start.task)
    click.echo(f"Search folder: {folder}\nRun folder: {run.path}")
    suggest_uses(run.path, start.task)
