"""Arguments that are paths: what does not exist is reported before the package, and with it TensorFlow, is imported."""

from __future__ import annotations

import pathlib

import click

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
    """A data set: a name, or the path of something that must exist."""

    name = "text"

    def check(self, source: str):
        """Raise ValueError if the data set is written as a path that does not exist."""
        if files.is_path(source):
            files.check_exists("The data set", source)


def check_paths(ctx: click.Context):
    """Raise ValueError if an argument of a command is a path that does not exist."""
    for parameter in ctx.command.params:
        value = ctx.params.get(parameter.name)
        if isinstance(parameter.type, ExistingPath | DataSource) and value is not None:
            for path in value if parameter.nargs == -1 else (value,):
                parameter.type.check(path)
