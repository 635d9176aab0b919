"""A command each of whose options may be given once, and whose help has groups and examples."""

from __future__ import annotations

import dataclasses
import shlex

import click

from keras_pdecnn.cli import help
from keras_pdecnn.cli.settings import WrongInput
from keras_pdecnn.recipes import Recipe

_SETTINGS = {field.name for field in dataclasses.fields(Recipe)}


class Command(click.Command):
    """A command that refuses an option that is given twice, of which click would silently keep the last value.

    Options that may be given more than once are declared with `multiple=True`.
    """

    def parse_args(self, ctx, args):
        if not ctx.resilient_parsing:
            _, _, given = self.make_parser(ctx).parse_args(args=list(args))
            options = [option for option in given if isinstance(option, click.Option)]
            for option in dict.fromkeys(options):
                if options.count(option) > 1 and not (option.multiple or option.count):
                    raise WrongInput(
                        f"{option.opts[0]} must be given once. Received: {' '.join(_occurrences(option, args))}"
                    )
        return super().parse_args(ctx, args)

    def format_options(self, ctx, formatter):
        """Write the options, in groups if they include the settings of a recipe."""
        options = [parameter for parameter in self.get_params(ctx) if isinstance(parameter, click.Option)]
        trains = any(option.name == "architecture" for option in options)
        groups: dict[str, list] = {title: [] for title in help.OPTIONS}
        for option in options:
            if record := option.get_help_record(ctx):
                name = option.name or ""
                groups[help.group(name, name in _SETTINGS) if trains else help.OPTIONS[0]].append(record)
        for title, records in groups.items():
            if records:
                with formatter.section(title):
                    formatter.write_dl(records)

    def format_epilog(self, ctx, formatter):
        """Write the examples of the command."""
        help.write_examples(self.name or "", formatter)


def _occurrences(option: click.Option, args: list[str]) -> list[str]:
    """Return the words of a command line that give an option, with its values."""
    names = (*option.opts, *option.secondary_opts)
    words: list[str] = []
    for index, word in enumerate(args):
        if word.partition("=")[0] in names:
            takes_next = "=" not in word and not (option.is_flag or option.secondary_opts)
            words += map(shlex.quote, args[index : index + 1 + takes_next])
    return words
