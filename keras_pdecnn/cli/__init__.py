"""The command `keras-pdecnn`: train, describe, tune, evaluate, predict, export, explain, stability, benchmark."""

from __future__ import annotations

import functools
import os
import pathlib
import shlex
import shutil
import sys

import click

from keras_pdecnn.cli import help, progress
from keras_pdecnn.cli.command import Command
from keras_pdecnn.cli.describe import describe
from keras_pdecnn.cli.explain import explain
from keras_pdecnn.cli.export import export
from keras_pdecnn.cli.paths import DataSource, ExistingPath, check_paths
from keras_pdecnn.cli.predict import predict
from keras_pdecnn.cli.settings import (
    WrongInput,
    chosen_recipe,
    given_options,
    import_tensorflow,
    one_line,
    recipe_options,
    report_accuracy,
    resumed_recipe,
    strategy_option,
    suggest,
    suggest_uses,
)
from keras_pdecnn.cli.stability import stability
from keras_pdecnn.cli.tune import tune
from keras_pdecnn.recipes import RECIPES, Recipe
from keras_pdecnn.tasks import TASKS
from keras_pdecnn.utils.optional import MissingPackageError
from keras_pdecnn.version import __version__

_INTERRUPTED = 130  # the exit code of a program that Ctrl-C has ended


class Commands(click.Group):
    """A group of commands that report a ValueError as wrong input, an OSError or a missing package as a failure.

    Modules of the command line import nothing that needs TensorFlow, except inside the commands. When the options of a
    command have been read and its paths exist, the object of the context is called, which imports the package; see
    `keras_pdecnn_command`.
    """

    command_class = Command

    def add_command(self, cmd, name=None):
        run = cmd.callback

        @functools.wraps(run)
        def start(*args, **kwargs):
            ctx = click.get_current_context()
            check_paths(ctx)
            if import_package := ctx.obj:
                import_package()
            return run(*args, **kwargs)

        cmd.callback = start
        super().add_command(cmd, name)

    def format_commands(self, ctx, formatter):
        """Write the commands in groups."""
        width = formatter.width - 6 - max(map(len, self.commands))
        for title, names in help.COMMANDS.items():
            with formatter.section(title):
                present = [self.commands[name] for name in names if name in self.commands]
                formatter.write_dl([(command.name, command.get_short_help_str(width)) for command in present])

    def format_epilog(self, ctx, formatter):
        """Write the first commands to try."""
        help.write_examples("", formatter)

    def make_context(self, info_name, args, parent=None, **extra):
        try:
            return super().make_context(info_name, args, parent, **extra)
        except click.UsageError as error:
            raise _in_one_line(error) from error

    def invoke(self, ctx):
        try:
            return super().invoke(ctx)
        except click.UsageError as error:  # also in the words behind the name of a command
            raise _in_one_line(error) from error
        except ValueError as error:
            raise WrongInput(one_line(error)) from error
        except BrokenPipeError:
            raise  # the reader of the output has closed it; click ends quietly
        except (OSError, MissingPackageError) as error:
            raise click.ClickException(one_line(error)) from error


def _in_one_line(error: click.UsageError) -> click.ClickException:
    """Return an error of click as wrong input, without the usage that click prints above it.

    The help in answer to a command without words stays as it is.
    """
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        return error
    hint = "" if error.ctx is None else f" Try '{error.ctx.command_path} --help' for help."
    return WrongInput(one_line(error.format_message()) + hint)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="keras-pdecnn")
def main():
    """Train and use convolutional networks that are discretised partial differential equations."""


main.add_command(describe)
main.add_command(tune)
main.add_command(explain)
main.add_command(stability)
main.add_command(predict)
main.add_command(export)


@main.command()
@click.argument("dataset", required=False, type=DataSource())
@click.option(
    "--recipe",
    metavar="NAME",
    help=f"Start from another recipe: {', '.join(RECIPES)}; or published or own, one of the two of the data set.",
)
@click.option(
    "--from",
    "start_from",
    type=ExistingPath("The run folder or file of weights"),
    help="Start from the trained weights in a run folder, a .keras or a .weights.h5 file; other classes get a new "
    "classifier.",
)
@click.option("--output", type=click.Path(path_type=pathlib.Path), help="Folder of the run; it must not exist yet.")
@click.option("--verbose", type=click.IntRange(0, 2), default=1, help="0: silent, 1: progress bar (default), 2: lines.")
@click.option(
    "--resume",
    is_flag=True,
    help="Continue the run in the folder --output, also with more --epochs; begin it if there is none.",
)
@click.option(
    "--monitor", is_flag=True, help="Log norms and step limits to TensorBoard, and warn of steps beyond the limit."
)
@strategy_option
@recipe_options
@click.pass_context
def train(ctx, dataset, recipe, start_from, output, verbose, resume, monitor, strategy, **settings):
    """Train a network on DATASET and write the folder of the run.

    DATASET is digits (default) or moving_digits, which is video; both need no download. Or it is an .npz file with
    x_train, y_train, x_test and y_test, or with x and y; a folder with one sub-folder of images, .wav files or videos
    per class, perhaps in train/ and test/; a labels.csv with the columns file and label; or the name of a TensorFlow
    data set such as cifar10. Every data set has a recipe, and every option below replaces one of its settings. Lists
    are written with commas: --widths 32,64,112.

    With --task the network predicts labels, numbers, a class for each pixel, or better images: an .npz file then has
    such targets, and a folder has images/ and masks/ or targets/. With --degradation any images will do.

    A checkpoint is written after each epoch. After an interruption, the same command with --resume continues the run,
    which ends with the same weights; DATASET and settings may then be left out. For a training on several machines,
    start the command on each of them.
    """
    from keras_pdecnn.runs import RunFolder

    changes = {name: settings[name] for name in given_options(ctx, settings)}
    if resume and output is None:
        raise WrongInput("--resume needs the folder of the run, --output. Received: no --output")
    chosen: Recipe | None
    if resume and output.exists() and not (dataset or recipe or changes):
        chosen = None  # the recipe in the folder
    elif resume and RunFolder(output).is_begun():
        chosen = resumed_recipe(RunFolder(output).read_config()[0], dataset, recipe, changes)
    else:
        chosen = chosen_recipe(dataset, recipe, changes)

    import_tensorflow("train")
    from keras_pdecnn import distribute, training
    from keras_pdecnn.ops.backend import runtime

    runtime.make_deterministic()
    scope = distribute.strategy(strategy)
    try:
        result = training.run(
            chosen, output, verbose=verbose, strategy=scope, resume=resume, monitor=monitor, start_from=start_from
        )
    except (training.DivergedError, training.StoppedError) as error:
        raise click.ClickException(one_line(error)) from error
    except training.Interrupted as error:
        click.echo(_how_to_go_on(error.folder, error.epochs, strategy, monitor), err=True)
        raise click.exceptions.Exit(_INTERRUPTED) from error
    if distribute.worker(scope)[0] == 0:
        recipe_of_run, _ = result.folder.read_config()
        report_accuracy(result.metrics, recipe_of_run.task)
        click.echo(f"Run folder: {result.folder.path}")
        suggest_uses(result.folder.path, recipe_of_run.task)


def _how_to_go_on(folder: str, epochs: int | None, strategy: str, monitor: bool) -> str:
    """Return what the user who has interrupted a run reads."""
    if epochs is None:
        return "\nInterrupted before the training began: nothing has been written."
    words = ["keras-pdecnn", "train", "--resume", "--output", shlex.quote(folder)]
    words += [] if strategy == "none" else ["--strategy", strategy]
    words += ["--monitor"] * monitor
    done = f"{epochs} whole epoch{'s' * (epochs != 1)}"
    return f"\nInterrupted after {done}. To go on: {' '.join(words)}"


@main.command()
@click.argument("run", type=ExistingPath("The run folder"))
@click.option(
    "--data",
    "source",
    type=DataSource(),
    help="Another data set of the same shape and classes; default: the data set of the run.",
)
@click.option(
    "--flipped/--no-flipped",
    default=None,
    help="Evaluate also with outputs averaged over each example and its mirror image; default: as in the run.",
)
def evaluate(run, source, flipped):
    """Evaluate the network of the folder RUN on the test part of a data set."""
    import_tensorflow("evaluate")
    from keras_pdecnn import training
    from keras_pdecnn.runs import RunFolder

    folder = RunFolder(run)
    recipe, info = folder.read_config()
    if flipped and not TASKS[recipe.task].has_labels:
        raise WrongInput(f"Only a classification is evaluated with mirrored copies. Received: task={recipe.task!r}")
    model = folder.load_model(compile=False)
    dataset = training.load_like(recipe, info, source)
    click.echo(f"{dataset.info.name}: {dataset.info.sizes['test']:,} test examples")
    verbose = int(sys.stdout.isatty())
    metrics = training.evaluate_part(model, dataset, recipe, verbose=verbose)
    if recipe.evaluate_flipped if flipped is None else flipped:
        metrics["flipped"] = training.evaluate_part(model, dataset, recipe, flipped=True, verbose=verbose)
    report_accuracy(metrics, recipe.task)
    suggest_uses(run, recipe.task)


@main.command()
@click.option(
    "--quick",
    is_flag=True,
    help="Measure a few small networks, in minutes; without it, the benchmark takes about an hour on two cores.",
)
@click.option(
    "--table",
    "tables",
    type=click.Choice(("depth", "network", "precision")),
    multiple=True,
    help="Only this table; may be given more than once. Default: all.",
)
@click.option(
    "--output",
    type=click.Path(path_type=pathlib.Path),
    default=pathlib.Path("benchmark"),
    show_default=True,
    help="Folder of the report; it must not exist yet.",
)
def benchmark(quick, tables, output):
    """Measure memory, time and precision of training on this machine.

    Every figure comes from a process of its own. The folder will hold report.md with the tables and a description of
    the machine, benchmark.json with the figures, and pictures of memory, time and precision over depth.
    """
    from keras_pdecnn.benchmarks import report, suite

    output = output.expanduser()
    is_vacant = output.is_dir() and not any(output.iterdir())  # left by a benchmark that was killed
    if os.path.lexists(output) and not is_vacant:
        raise WrongInput(f"The folder of a report must not exist yet. Received: {str(output)!r}")
    wanted = [m for m in suite.measurements("quick" if quick else "full") if not tables or m.table in tables]
    output.mkdir(parents=True, exist_ok=True)  # before the measurements, which take long
    try:
        path = report.write(suite.run(wanted, _progress), output)
    except BaseException as error:
        shutil.rmtree(output, ignore_errors=True)
        if isinstance(error, RuntimeError):
            raise click.ClickException(one_line(error)) from error
        raise
    click.echo(path.read_text(encoding="utf-8"))
    click.echo(f"Report: {path}")
    suggest(f"look at the pictures in {click.format_filename(output)}")


def _progress(items: list):
    """Yield measurements, and show which one is being taken: by a bar on a terminal, otherwise by lines."""
    if progress.is_watched():
        yield from progress.bar(items, lambda item: item.title)
        return
    for number, item in enumerate(items, start=1):
        click.echo(f"{number} of {len(items)}: {item.title}", err=True)
        yield item
