"""Lists of files with their classes, and reading them into arrays."""

from __future__ import annotations

import dataclasses
import hashlib
import logging
import math
import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from keras_pdecnn.data.memory import check_memory
from keras_pdecnn.data.sources.media import Images, Sounds
from keras_pdecnn.data.sources.raw import TEST, Raw

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


def read(
    listing: Listing, size: tuple[int, ...] | None, sampling_rate: int | None = None, skip_unreadable: bool = False
) -> Raw:
    """Read the files of a list into arrays.

    Args:
        listing: The files.
        size: Size of the examples; None stands for that of the files.
        sampling_rate: Samples per second of sounds, which are resampled; default None, that of the files.
        skip_unreadable: Whether to leave out files that cannot be read; default False, they are an error. The parts are
            chosen before, so that the other files stay where they are.

    Raises:
        ValueError: If a file cannot be read, or none can, or the files differ in size.
    """
    unreadable: dict[str, str] = {}

    def attempt(function, file: str):
        try:
            return function(file)
        except ValueError as error:
            if not skip_unreadable:
                raise _with_hint(error) from error
            unreadable[file] = str(error)
            return None

    every = [file for part in listing.parts.values() for file, _ in part]
    x_of: dict[str, np.ndarray] = {}
    y_of: dict[str, np.ndarray] = {}
    with ThreadPoolExecutor(min(16, os.cpu_count() or 1)) as pool:
        measured = pool.map(lambda file: attempt(listing.kind.measure, file), every)
        headers = {file: header for file, header in zip(every, measured, strict=True) if header is not None}
        if not headers:
            raise ValueError(f"None of the {len(every):,} files can be read; the first: {unreadable[every[0]]}")
        plan = listing.kind.plan(headers, size, sampling_rate, listing.where)
        check_memory(len(headers) * plan.example_bytes, listing.where)
        for part, entries in listing.parts.items():
            entries = [entry for entry in entries if entry[0] in headers]  # noqa: PLW2901
            x: np.ndarray = np.empty((len(entries), *plan.shape), plan.dtype)

            def fill(index, entries=entries, x=x):
                example = attempt(plan.read, entries[index][0])
                if example is not None:
                    x[index] = example

            list(pool.map(fill, range(len(entries))))  # a list, so that errors are raised
            good = [index for index, (file, _) in enumerate(entries) if file not in unreadable]
            x_of[part] = x if len(good) == len(entries) else x[good]
            y_of[part] = np.array([entries[index][1] for index in good], np.int64)
    skipped = [file for file in every if file in unreadable]
    if skipped:
        named = "; ".join(unreadable[file] for file in skipped[:_NAMED])
        others = f"; and {len(skipped) - _NAMED:,} others" if len(skipped) > _NAMED else ""
        _LOG.warning("%d of %d files cannot be read and are left out: %s%s", len(skipped), len(every), named, others)
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
        skipped=tuple(skipped),
    )


def _name(where: str) -> str:
    path = os.path.abspath(where)
    return os.path.basename(os.path.dirname(path) if path.lower().endswith(".csv") else path)


def _with_hint(error: ValueError) -> ValueError:
    """Return the error of a file that cannot be read, which also says how to leave out such files."""
    message, received, path = str(error).rpartition(" Received: ")
    hint = "`skip_unreadable` (--skip-unreadable) leaves out such files and names them."
    return ValueError(f"{message} {hint}{received}{path}")
