"""The command `keras-pdecnn predict`."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import operator
import os
import pathlib
import shlex
from collections.abc import Callable, Sequence

import click

from keras_pdecnn.cli import progress
from keras_pdecnn.cli.command import Command
from keras_pdecnn.cli.paths import ExistingPath, SomeFiles
from keras_pdecnn.cli.settings import WrongInput, import_tensorflow, one_line, suggest
from keras_pdecnn.tasks import TASKS

_FOLDER = "predictions"
_OWN = ("file", "index")  # columns of the command, whatever the outputs of a network are called


@click.command(cls=Command)
@click.argument("model", type=ExistingPath("The model"))
@click.argument("files", nargs=-1, required=True, type=SomeFiles(), metavar="FILE...")
@click.option(
    "--format",
    "kind",
    type=click.Choice(("table", "json", "csv")),
    default="table",
    show_default=True,
    help="Format of the predictions.",
)
@click.option(
    "--sampling-rate",
    type=click.IntRange(1, 384_000),
    help="Samples per second of the sound that the network was trained on; .wav files with another rate are resampled. "
    "Default: the rate of the .wav files that a run was trained on; otherwise files are never resampled.",
)
@click.option(
    "--output",
    type=click.Path(path_type=pathlib.Path),
    help="Folder of the masks or restored images, which must be empty or not exist; default: predictions.",
)
def predict(model, files, kind, sampling_rate, output):
    """Print the class that the network MODEL predicts for each FILE, and its probability.

    A network of another task predicts the probabilities of all labels, or numbers, which are printed; or masks or
    restored images, which are written into the folder --output.

    A network trained with --loss least_squares has scores in place of probabilities; 1 is a perfect fit.

    MODEL is a run folder, a .keras file or an exported SavedModel. A FILE is an image, a .wav file for a network of
    signals, a video or an animated GIF for a network of video, an .npz file with examples under x or x_test, or a
    folder of such files. Files that cannot be read are reported, and the others are predicted. The exit code is then 1,
    or 2 if no file can be read.
    """
    if model.is_dir() and not (model / "config.json").exists():
        import_tensorflow("predict")  # which runs a SavedModel
    from keras_pdecnn import inference

    classifier = inference.load(model)
    task = TASKS[classifier.task]
    if output is not None and not task.of_pixels:
        raise WrongInput(f"--output is for masks and restored images. Received: a network for {task.label}")
    # All files are found first: the pictures may be written into one of the folders.
    found = list(inference.find(files, videos=len(classifier.input_shape) == 4))
    pictures = inference.Pictures(output or _FOLDER, classifier) if task.of_pixels else None
    rows, unreadable = [], []
    for outcome in inference.predict(classifier, progress.bar(found), sampling_rate):
        if isinstance(outcome, inference.Unreadable):
            unreadable.append(outcome)
        else:
            rows.append(outcome if pictures is None else Written.of(outcome, pictures.write(outcome)))
    for outcome in unreadable:
        click.echo(one_line(f"{outcome.file}: {outcome.reason}"), err=True)
    if rows or kind == "json":
        columns = _columns(classifier)
        click.echo(_WRITERS[kind](rows, unreadable, columns), nl=False)
    if unreadable:
        raise click.exceptions.Exit(1 if rows else 2)
    suggest(after(model, task, output))


def after(model: pathlib.Path, task, output) -> str:
    """Return what to do after a prediction."""
    if task.of_pixels:
        return f"look at the files in {click.format_filename(output or _FOLDER)}"
    if not (model / "config.json").exists():
        return "add --format csv or --format json for other programs"
    path = shlex.quote(os.fspath(model))
    return f"keras-pdecnn {'explain' if task.has_labels else 'export'} {path}"


@dataclasses.dataclass(frozen=True)
class Written:
    """A prediction that has been written into a file."""

    file: str
    index: int | None
    path: str

    @classmethod
    def of(cls, outputs, path: pathlib.Path) -> Written:
        return cls(outputs.file, outputs.index, click.format_filename(path))


@dataclasses.dataclass(frozen=True)
class Column:
    """A column of the predictions behind those for file and index.

    Args:
        head: Its head in JSON and CSV.
        read: Function of a row.
        shown: Its head in the table, which leaves it out where this is empty.
    """

    head: str
    read: Callable
    shown: str


def _columns(classifier) -> list[Column]:
    """Return the columns behind file and index, whose heads differ."""
    task = TASKS[classifier.task]
    if task.of_pixels:
        return [Column("prediction", operator.attrgetter("path"), "prediction")]
    if task.has_labels:
        return [
            Column("class", operator.attrgetter("class_index"), ""),
            Column("label", operator.attrgetter("label"), "class"),
            Column(classifier.quantity, operator.attrgetter("output"), classifier.quantity),
        ]
    return [
        Column(head, lambda row, place=place: float(row.values[place]), head)
        for place, head in enumerate(_heads(classifier.class_names))
    ]


def _heads(names: Sequence[str]) -> list[str]:
    """Return the heads of columns of outputs: their names, with the number of the output where a name is taken.

    The names "file" and "index" are those of the columns before. Networks that were not trained by this version may
    have outputs of the same name.
    """
    taken = {*_OWN, *names}
    heads: list[str] = []
    for place, name in enumerate(names):
        head = name
        if name in _OWN or name in heads:
            head = f"{name} (output {place})"
            while head in taken:
                head += "'"
        heads.append(head)
        taken.add(head)
    return heads


def _to_json(rows, unreadable, columns: list[Column]) -> str:
    """Return JSON with the predictions, and the files that could not be read."""
    content = {
        "predictions": [_fields(row, columns) for row in rows],
        "unreadable": [{"file": entry.file, "reason": one_line(entry.reason)} for entry in unreadable],
    }
    return json.dumps(content, indent=2) + "\n"


def _to_csv(rows, _, columns: list[Column]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, (*_OWN, *(column.head for column in columns)), lineterminator="\n")
    writer.writeheader()
    writer.writerows({**_fields(row, columns), "file": click.format_filename(row.file)} for row in rows)
    return text.getvalue()


def _to_table(rows, _, columns: list[Column]) -> str:
    shown = [column for column in columns if column.shown]
    values = [[column.read(row) for column in shown] for row in rows]
    is_text = [isinstance(value, str) for value in values[0]]
    cells = [["file", *(c.shown if text else f"{c.shown:>11}" for c, text in zip(shown, is_text, strict=True))]]
    for row, entries in zip(rows, values, strict=True):
        name = click.format_filename(row.file)  # names need not be text
        name = name if row.index is None else f"{name}[{row.index}]"
        cells.append([name, *(entry if isinstance(entry, str) else f"{entry:11.4f}" for entry in entries)])
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    widths[-1] = 0  # nothing stands behind the last column
    return "".join(
        "  ".join(f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True)) + "\n" for line in cells
    )


def _fields(row, columns: list[Column]) -> dict:
    return {**dict(zip(_OWN, (row.file, row.index), strict=True)), **{c.head: c.read(row) for c in columns}}


_WRITERS = {"table": _to_table, "json": _to_json, "csv": _to_csv}
