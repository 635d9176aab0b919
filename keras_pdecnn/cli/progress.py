"""What a person at a terminal sees while a command works; other programs may read the output and the messages."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator

import click


def is_watched() -> bool:
    """Return whether messages appear on a terminal."""
    return sys.stderr.isatty()


def bar(items: Iterable, title: Callable[..., str] = str) -> Iterator:
    """Yield items, and show at a terminal how many are done and the title of the one that is being worked on."""
    if not is_watched():
        yield from items
        return
    with click.progressbar(list(items), item_show_func=lambda item: item and title(item), file=sys.stderr) as shown:
        yield from shown


def announce(text: str):
    """Tell a person at a terminal that something takes a while which has no parts to count."""
    if is_watched():
        click.echo(f"{text} …", err=True)
