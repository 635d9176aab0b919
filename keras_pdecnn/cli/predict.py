"""The command `keras-pdecnn predict`."""

from __future__ import annotations

import csv
import dataclasses
import io
import json

import click

from keras_pdecnn.cli.command import Command
from keras_pdecnn.cli.paths import ExistingPath, SomeFiles
from keras_pdecnn.cli.settings import import_tensorflow, one_line


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
def predict(model, files, kind, sampling_rate):
    """Print the class that the network MODEL predicts for each FILE, and its probability.

    A network trained with --loss least_squares has scores in place of probabilities; 1 is a perfect fit.

    MODEL is a run folder, a .keras file or an exported SavedModel. A FILE is an image, a .wav file for a network of
    signals, an .npz file with examples under x or x_test, or a folder of such files. Files that cannot be read are
    reported, and the others are predicted. The exit code is then 1, or 2 if no file can be read.
    """
    if model.is_dir() and not (model / "config.json").exists():
        import_tensorflow("predict")  # which runs a SavedModel
    from keras_pdecnn import inference

    classifier = inference.load(model)
    rows, unreadable = [], []
    for outcome in inference.predict(classifier, inference.find(files), sampling_rate):
        if isinstance(outcome, inference.Unreadable):
            click.echo(one_line(f"{outcome.file}: {outcome.reason}"), err=True)
            unreadable.append(outcome)
        else:
            rows.append(outcome)
    if rows or kind == "json":
        click.echo(_WRITERS[kind](rows, unreadable, classifier.quantity), nl=False)
    if unreadable:
        raise click.exceptions.Exit(1 if rows else 2)


def _to_json(rows, unreadable, quantity: str) -> str:
    """Return JSON with the predictions, and the files that could not be read."""
    content = {
        "predictions": [_fields(row, quantity) for row in rows],
        "unreadable": [{"file": entry.file, "reason": one_line(entry.reason)} for entry in unreadable],
    }
    return json.dumps(content, indent=2) + "\n"


def _to_csv(rows, _, quantity: str) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, ("file", "index", "class", "label", quantity), lineterminator="\n")
    writer.writeheader()
    writer.writerows({**_fields(row, quantity), "file": click.format_filename(row.file)} for row in rows)
    return text.getvalue()


def _to_table(rows, _, quantity: str) -> str:
    cells = [("file", "class", f"{quantity:>11}")]
    for row in rows:
        name = click.format_filename(row.file)  # names need not be text
        name = name if row.index is None else f"{name}[{row.index}]"
        cells.append((name, row.label, f"{row.output:11.4f}"))
    widths = [max(len(entry[i]) for entry in cells) for i in (0, 1)]
    return "".join(f"{name:<{widths[0]}}  {label:<{widths[1]}}  {value}\n" for name, label, value in cells)


def _fields(row, quantity: str) -> dict:
    names = {"class_index": "class", "output": quantity}
    return {names.get(name, name): value for name, value in dataclasses.asdict(row).items()}


_WRITERS = {"table": _to_table, "json": _to_json, "csv": _to_csv}
