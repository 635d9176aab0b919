"""A file labels.csv with the columns file and label, beside the files that it names."""

from __future__ import annotations

import csv
import os

from keras_pdecnn.data.sources.listing import Listing, by_hash, test_count
from keras_pdecnn.data.sources.media import kind_of

NAME = "labels.csv"
_COLUMNS = ("file", "label")


def find(folder: str) -> str | None:
    """Return the path of the labels.csv of a folder; None if there is none with the columns file and label."""
    path = os.path.join(folder, NAME)
    if not os.path.isfile(path):
        return None
    columns, _ = _read(path)
    return path if all(column in columns for column in _COLUMNS) else None


def list_files(path: str, where: str, size: tuple[int, ...] | None = None) -> Listing:
    """Return the files that a table names, with paths from its own folder.

    A fifth of each class, at least one file, is the test part: those whose entries in the table hash lowest. The
    classes are numbered in the order of their sorted names.

    Args:
        path: Path of the table.
        where: Path of the data set, as it was given.
        size: Size of the examples, see `media.kind_of`; default None.
    """
    columns, rows = _read(path)
    if missing := [column for column in _COLUMNS if column not in columns]:
        raise ValueError(
            f"A table of labels must have the columns {', '.join(_COLUMNS)}; {', '.join(missing)} missing. "
            f"Received: {path!r} with {', '.join(columns) or 'no columns'}"
        )
    labels: dict[str, str] = {}
    for line, file, label in rows:
        if not file or not label:
            raise ValueError(f"Every row of a table of labels must have a file and a label. Received: {path!r}, {line}")
        if labels.setdefault(file, label) != label:
            raise ValueError(
                "A table of labels must give one label to a file. Received: "
                f"{path!r}, {file!r} with {labels[file]!r} and {label!r}"
            )
    kind = kind_of(labels, size)
    other = next((file for file in labels if kind is None or not file.lower().endswith(kind.suffixes)), None)
    if kind is None or other is not None:
        expected = f"all be {kind.noun} ({', '.join(kind.suffixes)})" if kind else "be images, .wav files or videos"
        raise ValueError(f"The files of a table of labels must {expected}. Received: {path!r} with {other!r}")
    names = sorted(set(labels.values()))
    parts: dict[str, list[tuple[str, int]]] = {"train": [], "test": []}
    folder = os.path.dirname(path)
    for index, name in enumerate(names):
        files = by_hash([file for file in labels if labels[file] == name])
        if len(files) < 2:
            raise ValueError(
                f"Every class must have at least two files, one to train and one to test. Received: {path!r} with "
                f"{len(files)} of class {name!r}"
            )
        count = test_count(len(files))
        for part, entries in (("test", files[:count]), ("train", files[count:])):
            parts[part] += [(os.path.join(folder, file), index) for file in entries]
    return Listing(where, kind, tuple(names), parts)


def _read(path: str) -> tuple[list[str], list[tuple[str, str, str]]]:
    """Return the columns, and (line, file, label) of each row."""
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            columns = [column.strip() for column in reader.fieldnames or ()]
            reader.fieldnames = columns
            rows = []
            for row in reader:
                texts = [(row.get(column) or "").strip() for column in _COLUMNS]
                rows.append((f"line {reader.line_num}", texts[0].replace("\\", "/"), texts[1]))
            return columns, rows
    except (OSError, ValueError, csv.Error) as error:
        raise ValueError(f"Not a readable table of labels ({error}). Received: {path!r}") from error
