"""Lists of files with their classes, and reading them into arrays."""

from __future__ import annotations

import dataclasses
import hashlib
import logging
import math
import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from keras_pdecnn.data.calls import ReadError
from keras_pdecnn.data.crops import Crop
from keras_pdecnn.data.memory import is_held
from keras_pdecnn.data.opened import check_unchanged, stamp
from keras_pdecnn.data.sources.index import read_json, write_json
from keras_pdecnn.data.sources.media import Images, Plan, Sounds
from keras_pdecnn.data.sources.raw import TEST, Raw
from keras_pdecnn.data.stored import Read

_LOG = logging.getLogger(__name__)
_NAMED = 20  # files that a warning names


@dataclasses.dataclass(frozen=True)
class Listing:
    """The files of a data set: one example each, with its class.

    Args:
        where: Path of the data set, as it was given.
        kind: Kind of the files.
        class_names: Names of the classes.
        parts: Pairs (path, class) of each part: `train`, perhaps `validation`, and `test`.
    """

    where: str
    kind: Images | Sounds
    class_names: tuple[str, ...]
    parts: dict[str, list[tuple[str, int]]]


def by_hash(names: list[str]) -> list[str]:
    """Return names in the order of their hashes, an order that further names do not change."""
    return sorted(names, key=lambda name: hashlib.sha256(name.encode("utf-8", "surrogateescape")).digest())


def test_count(files: int) -> int:
    """Return how many files of a class are the test part: a fifth, at least one."""
    return max(1, math.floor(TEST * files + 0.5))


class FileExamples(Read):
    """Files, each of which holds an example and is read when it is needed.

    Args:
        paths: Paths of the files.
        stamps: Their stamps, see `opened.stamp`.
        plan: How they are read.
    """

    def __init__(self, paths: list[str], stamps: list[tuple[int, int]], plan: Plan):
        super().__init__(len(paths), plan.shape, plan.dtype)
        self.paths, self.stamps, self.plan = paths, stamps, plan

    def read(self, rows: np.ndarray, window: np.ndarray | None = None) -> np.ndarray:
        x = np.empty((len(rows), *self.shape[1:]), self.dtype)
        for index, row in enumerate(rows):
            check_unchanged(self.paths[row], self.stamps[row])
            try:
                x[index] = self.plan.read(self.paths[row], None if window is None else window[index])
            except ValueError as error:
                raise ReadError(str(_with_hint(error))) from error
        return x


def read(
    listing: Listing,
    size: tuple[int, ...] | None,
    sampling_rate: int | None = None,
    skip_unreadable: bool = False,
    crop: Crop | None = None,
    in_memory: bool | None = None,
) -> Raw:
    """Read the files of a list into arrays, or plan how they are read when they are needed.

    Args:
        listing: The files.
        size: Size of the examples; None stands for that of the files.
        sampling_rate: Samples per second of sounds, which are resampled; default None, that of the files.
        skip_unreadable: Whether to leave out files that cannot be read; default False, they are an error. The parts are
            chosen before, so that the other files stay where they are.
        crop: Window of the images that is read; default None, the whole image.
        in_memory: Whether the examples are held in memory; default None, up to `memory.STREAMING_LIMIT`.

    Raises:
        ValueError: If a file cannot be read, or none can, or the files differ in size.
    """
    every = [file for part in listing.parts.values() for file, _ in part]
    with ThreadPoolExecutor(min(16, os.cpu_count() or 1)) as pool:
        known = _Known(listing, every, pool, skip_unreadable)
        headers = known.measure()
        plan = listing.kind.plan(headers, size, sampling_rate, listing.where, crop)
        needed = len(headers) * plan.example_bytes
        if (crop is None or not crop.is_random) and is_held(needed, listing.where, in_memory):
            x_of, y_of = _into_memory(listing, plan, known, pool)
        else:
            x_of, y_of = _to_be_read(listing, plan, known)
    skipped = left_out(every, known.unreadable)
    return Raw(
        name=_name(listing.where),
        where=listing.where,
        x_train=x_of["train"],
        y_train=y_of["train"],
        x_test=x_of["test"],
        y_test=y_of["test"],
        x_validation=x_of.get("validation"),
        y_validation=y_of.get("validation"),
        class_names=listing.class_names,
        sampling_rate=plan.sampling_rate,
        skipped=skipped,
        crop=crop,
    )


def left_out(files: list[str], unreadable: dict[str, str]) -> tuple[str, ...]:
    """Return the files that cannot be read, in their order, and log a warning that names the first of them.

    Args:
        files: All files.
        unreadable: What is wrong with each of those that cannot be read.
    """
    skipped = tuple(file for file in files if file in unreadable)
    if skipped:
        named = "; ".join(unreadable[file] for file in skipped[:_NAMED])
        others = f"; and {len(skipped) - _NAMED:,} others" if len(skipped) > _NAMED else ""
        _LOG.warning("%d of %d files cannot be read and are left out: %s%s", len(skipped), len(files), named, others)
    return skipped


class _Known:
    """What is known of the files: their headers, and which of them cannot be read."""

    def __init__(self, listing: Listing, every: list[str], pool: ThreadPoolExecutor, skip_unreadable: bool):
        self.kind, self.every, self.pool, self.skip_unreadable = listing.kind, every, pool, skip_unreadable
        path = os.path.expanduser(listing.where)
        self.folder = path if os.path.isdir(path) else os.path.dirname(path)
        self.headers: dict[str, Any] = {}
        self.unreadable: dict[str, str] = {}
        self.stamps: dict[str, tuple[int, int]] = {}
        self._kept = read_json(self.folder)
        self._keys = {file: os.path.relpath(file, self.folder) for file in every}

    def attempt(self, function, file: str):
        """Return function(file), or None if the file cannot be read and is to be left out."""
        try:
            return function(file)
        except ValueError as error:
            if not self.skip_unreadable:
                raise _with_hint(error) from error
            self.unreadable[file] = str(error)
            return None

    def measure(self) -> dict[str, Any]:
        """Return the header of each file that has one; of files that have not changed it is known."""
        measured = self.pool.map(lambda file: self.attempt(self._measure, file), self.every)
        self.headers = {file: header for file, header in zip(self.every, measured, strict=True) if header is not None}
        if not self.headers:
            raise ValueError(f"None of the {len(self.every):,} files can be read; the first: {self._first_reason()}")
        return self.headers

    def verify(self, plan: Plan):
        """Find out which files cannot be read, by reading each of them once, and keep all that is known."""
        if self.skip_unreadable:
            unknown = [file for file in self.headers if not self._entry(file)[4:]]
            list(self.pool.map(lambda file: self.attempt(plan.read, file), unknown))
        entries = {self._keys[file]: self._to_keep(file) for file in self.headers}
        if entries != self._kept:
            write_json(self.folder, entries)

    def _measure(self, file: str):
        try:
            self.stamps[file] = stamp(file)
        except OSError:
            return self.kind.measure(file)  # whose message says what is wrong
        entry = self._entry(file)
        if not entry:
            return self.kind.measure(file)
        if reason := "".join(entry[4:]):
            if not self.skip_unreadable:
                raise ValueError(reason)
            self.unreadable[file] = reason
        return self.kind.header(*entry[3])

    def _first_reason(self) -> str:
        return self.unreadable[self.every[0]]

    def _entry(self, file: str) -> list:
        """Return what is kept of a file: size, time, kind, header, and if it has been read the reason against it."""
        entry = self._kept.get(self._keys[file], ())
        fits = len(entry) in (4, 5) and tuple(entry[:3]) == (*self.stamps.get(file, ()), self.kind.noun)
        return list(entry) if fits else []

    def _to_keep(self, file: str) -> list:
        read = [self.unreadable.get(file, "")] if self.skip_unreadable else self._entry(file)[4:]
        return [*self.stamps[file], self.kind.noun, list(self.kind.entries(self.headers[file])), *read]


def _into_memory(listing: Listing, plan: Plan, known: _Known, pool: ThreadPoolExecutor):
    """Return the examples and the labels of each part as arrays."""
    x_of: dict[str, Any] = {}
    y_of: dict[str, np.ndarray] = {}
    for part, entries in listing.parts.items():
        entries = [entry for entry in entries if entry[0] in known.headers]  # noqa: PLW2901
        x: np.ndarray = np.empty((len(entries), *plan.shape), plan.dtype)

        def fill(index, entries=entries, x=x):
            example = known.attempt(plan.read, entries[index][0])
            if example is not None:
                x[index] = example

        list(pool.map(fill, range(len(entries))))  # a list, so that errors are raised
        good = [index for index, (file, _) in enumerate(entries) if file not in known.unreadable]
        x_of[part] = x if len(good) == len(entries) else x[good]
        y_of[part] = np.array([entries[index][1] for index in good], np.int64)
    return x_of, y_of


def _to_be_read(listing: Listing, plan: Plan, known: _Known):
    """Return the examples of each part, which are read when they are needed, and the labels."""
    known.verify(plan)
    x_of: dict[str, Any] = {}
    y_of: dict[str, np.ndarray] = {}
    for part, entries in listing.parts.items():
        good = [(file, label) for file, label in entries if file in known.headers and file not in known.unreadable]
        paths = [file for file, _ in good]
        x_of[part] = FileExamples(paths, [known.stamps[file] for file in paths], plan)
        y_of[part] = np.array([label for _, label in good], np.int64)
    return x_of, y_of


def _name(where: str) -> str:
    path = os.path.abspath(where)
    return os.path.basename(os.path.dirname(path) if path.lower().endswith(".csv") else path)


def _with_hint(error: ValueError) -> ValueError:
    """Return the error of a file that cannot be read, which also says how to leave out such files."""
    message, received, path = str(error).rpartition(" Received: ")
    hint = "`skip_unreadable` (--skip-unreadable) leaves out such files and names them."
    return ValueError(f"{message} {hint}{received}{path}")
