"""Arguments that are paths: what does not exist is reported before the package, and with it TensorFlow, is imported."""

from __future__ import annotations

import os
import pathlib

import click

from keras_pdecnn.runs import RunFolder
from keras_pdecnn.utils import files


class ExistingPath(click.Path):
    """A path of something that must exist.

    Args:
        what: What the path is of, as the beginning of the message: "The run folder".
    """

    def __init__(self, what: str):
        super().__init__(path_type=pathlib.Path)
        self.what = what

    def check(self, path: pathlib.Path):
        """Raise ValueError if the path does not exist."""
        files.check_exists(self.what, path)


class DataSource(click.ParamType):
    """A data set: the path of something that must exist, or a name that must be known."""

    name = "text"

    def check(self, source: str, data_dir: str | None = None):
        """Raise ValueError if there is no such data set."""
        from keras_pdecnn.data.sources import check_source

        check_source(source, data_dir)


class SomeFiles(click.ParamType):
    """Files of which those that do not exist are reported, and the others are used."""

    name = "text"

    def check_all(self, paths: tuple[str, ...]):
        """Report files that do not exist, if all of them do not, and exit with code 2."""
        if not any(os.path.lexists(path) for path in paths):
            for path in paths:
                click.echo(f"{click.format_filename(path)}: The file does not exist. Received: {path!r}", err=True)
            raise click.exceptions.Exit(2)


def check_paths(ctx: click.Context):
    """Raise ValueError if an argument of a command is a path that does not exist."""
    for parameter in ctx.command.params:
        value = ctx.params.get(parameter.name)
        if isinstance(parameter.type, DataSource) and value is not None:
            parameter.type.check(value, _data_dir(ctx.params))
        elif isinstance(parameter.type, SomeFiles) and value and ctx.params.get("kind") != "json":  # JSON lists them
            parameter.type.check_all(value)
        elif isinstance(parameter.type, ExistingPath) and value is not None:
            for path in value if parameter.nargs == -1 else (value,):
                parameter.type.check(path)


def _data_dir(options: dict) -> str | None:
    """Return the folder of TensorFlow Datasets: that of the options, or of the run that is evaluated or resumed."""
    run = options.get("run") or (options.get("output") if options.get("resume") else None)
    if options.get("data_dir") is not None or run is None:
        return options.get("data_dir")
    try:
        return RunFolder(run).read_config()[0].data_dir
    except ValueError:  # a new run; of a damaged one, the command reports it
        return None
