"""The folder of a run: its files, and how they are written and read."""

from __future__ import annotations

import csv
import dataclasses
import datetime
import importlib
import json
import math
import os
import pathlib
import platform
import re
import shutil

from keras_pdecnn.recipes import Recipe
from keras_pdecnn.utils import files

_LARGEST_JSON = 2**24  # bytes; the names of the classes take the most


def data_name(recipe: Recipe) -> str:
    """Return the name of the data of a recipe as a part of a file name."""
    path = pathlib.PurePath(recipe.data)
    name = path.parent.name if path.suffix.lower() == ".csv" else path.name  # labels.csv lies beside its files
    return re.sub(r"[^\w.]+", "-", name.removesuffix(".npz")).strip("-.") or "data"


def default_path(recipe: Recipe, parent="runs") -> pathlib.Path:
    """Return a path that does not exist yet: parent/<data>-<architecture>-<time>."""
    time = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
    first = path = pathlib.Path(parent, f"{data_name(recipe)}-{recipe.architecture}-{time}")
    count = 1
    while os.path.lexists(path):
        count += 1
        path = first.with_name(f"{first.name}-{count}")
    return path


class RunFolder:
    """The files of a run.

    config.json (recipe, data, versions), model.keras, history.csv, metrics.json, logs/ for TensorBoard, checkpoints/ to
    resume from, and the pictures training_curves.png, confusion_matrix.png, predictions.png.

    Args:
        path: Path of the folder; it need not exist.
    """

    def __init__(self, path):
        self.path = pathlib.Path(path).expanduser()
        self.config = self.path / "config.json"
        self.model = self.path / "model.keras"
        self.history = self.path / "history.csv"
        self.metrics = self.path / "metrics.json"
        self.logs = self.path / "logs"
        self.checkpoints = self.path / "checkpoints"
        self.training_curves = self.path / "training_curves.png"
        self.confusion_matrix = self.path / "confusion_matrix.png"
        self.predictions = self.path / "predictions.png"

    def check_vacant(self, allow_empty: bool = False):
        """Raise ValueError if there is anything at the path: a run never overwrites.

        Args:
            allow_empty: Whether there may be an empty folder, or that of a run that was interrupted before it began;
                default False.
        """
        if os.path.lexists(self.path) and not (allow_empty and self._holds_no_run()):
            raise self._is_taken()

    def _is_taken(self) -> ValueError:
        return ValueError(f"The folder of a new run must not exist yet. Received: {str(self.path)!r}")

    def _holds_no_run(self) -> bool:
        """Return whether there is a folder with nothing in it but what a run writes before it has begun."""
        return self.path.is_dir() and all(
            path.suffix == ".part"
            or (path == self.checkpoints and all(file.name.startswith("epoch-00000.") for file in path.glob("*")))
            for path in self.path.iterdir()
        )

    def is_begun(self) -> bool:
        """Return whether there is a run in the folder."""
        return self.config.is_file()

    def create(self, is_new: bool = False):
        """Make the folder.

        Args:
            is_new: Whether there must be nothing at the path, not even a folder that another process has just made;
                default False, the folder may be there.

        Raises:
            ValueError: If the folder cannot be made, or there is something at the path of a new one.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=not is_new)
        except FileExistsError as error:
            raise self._is_taken() from error
        except OSError as error:
            raise ValueError(f"The run folder cannot be made ({error}). Received: {str(self.path)!r}") from error

    def discard(self):
        """Remove the folder if no run has begun in it; one that holds anything else stays."""
        if self._holds_no_run():
            shutil.rmtree(self.path, ignore_errors=True)

    def write_config(self, recipe: Recipe, info, start_from: str | None = None):
        """Write config.json: the recipe, the properties of the data (`data.Info`) and the versions in use.

        Args:
            recipe: Recipe of the run.
            info: Properties of the data.
            start_from: Path of the network whose weights the run starts from; default None, random weights.
        """
        config = {"recipe": recipe.to_dict(), "data": dataclasses.asdict(info), "versions": _versions()}
        _write_json(self.config, config if start_from is None else {**config, "start_from": start_from})

    def read_start(self) -> str | None:
        """Return the path of the network whose weights the run started from, or None if they were random."""
        config = _read_json(self.config)
        return config.get("start_from") if isinstance(config, dict) else None

    def read_config(self) -> tuple:
        """Return (recipe, info) of the run.

        Raises:
            ValueError: If there is no folder or no config.json in it, or it is damaged.
        """
        config = _read_json(self.config)
        try:
            return Recipe.from_dict(config["recipe"]), _to_info(config["data"])
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise ValueError(f"Not the configuration of a run ({error}). Received: {str(self.config)!r}") from error

    def write_metrics(self, metrics: dict):
        """Write metrics.json; numbers that are not finite become null, as JSON has no such numbers."""
        _write_json(self.metrics, metrics)

    def read_metrics(self) -> dict:
        """Return the content of metrics.json, where null stands for a number that is not finite, which becomes NaN.

        Raises:
            ValueError: If there is no such file.
        """
        metrics = _read_json(self.metrics)
        return {name: value if name == "diverged" else _with_nan(value) for name, value in metrics.items()}

    def cut_history(self, epochs: int):
        """Keep the first epochs of history.csv, if there is one: a resumed run does the others again."""
        if self.history.is_file():
            lines = self.history.read_bytes().splitlines(keepends=True)
            files.replace(self.history, b"".join(lines[: epochs + 1] if epochs else []))

    def read_history(self) -> dict[str, list[float]]:
        """Return the columns of history.csv by name, without empty ones; missing entries are NaN.

        Raises:
            ValueError: If there is no folder or no history.csv in it.
        """
        self._check_exists()
        try:
            with open(self.history, newline="") as file:
                rows = list(csv.DictReader(file))
        except OSError as error:
            raise ValueError(f"The run has no history ({error}). Received: {str(self.path)!r}") from error
        columns = {name: [_number(row[name]) for row in rows] for name in (rows[0] if rows else ())}
        return {name: values for name, values in columns.items() if not all(map(math.isnan, values))}

    def load_model(self, compile: bool = True):
        """Return the trained model, loaded safely (`loading.load_model`).

        Args:
            compile: Whether to load its optimiser and loss too; default True.

        Raises:
            ValueError: If there is no folder or no model.keras in it, or the model cannot be loaded.
        """
        from keras_pdecnn.models.loading import load_model

        self._check_exists()
        if not self.model.is_file():
            raise ValueError(f"The run has no model.keras. Received: {str(self.path)!r}")
        return load_model(self.model, compile)

    def _check_exists(self):
        files.check_exists("The run folder", self.path)


def _to_info(entries: dict):
    """Return the `data.Info` with these entries; raise an exception of several types if they are of something else."""
    from keras_pdecnn.data import Info

    values: dict = {name: tuple(value) if isinstance(value, list) else value for name, value in entries.items()}
    info = Info(**values)
    counts = (info.classes, *info.input_shape, *info.sizes.values())
    counts += () if info.sampling_rate is None else (info.sampling_rate,)
    texts = (info.name, info.dtype, *info.class_names, *info.skipped, info.crop or "")
    if not all(type(count) is int for count in counts) or not all(isinstance(text, str) for text in texts):
        raise ValueError("sizes must be integers and names texts")
    numbers = (info.max_value, *(info.target_mean or ()), *(info.target_deviation or ()))
    if not all(type(number) in (int, float) and math.isfinite(number) for number in numbers):
        raise ValueError("means, standard deviations and the value of white must be numbers")
    if len(info.class_names) != info.classes or set(info.sizes) != {"train", "validation", "test"}:
        raise ValueError(f"{len(info.class_names)} names of {info.classes} classes, sizes of {', '.join(info.sizes)}")
    return info


def _versions() -> dict[str, str]:
    import keras
    import numpy as np

    from keras_pdecnn.version import __version__

    backend = keras.backend.backend()

    return {
        "keras_pdecnn": __version__,
        "keras": keras.__version__,
        "backend": backend,
        backend: importlib.import_module(backend).__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
    }


def _write_json(path: pathlib.Path, content: dict):
    files.replace(path, (_to_json(content) + "\n").encode())


def _read_json(path: pathlib.Path) -> dict:
    files.check_exists("The run folder", path.parent)
    if not os.path.isfile(path):  # reading a pipe or a device might never end
        raise ValueError(f"Not the folder of a run: no {path.name}. Received: {str(path.parent)!r}")
    try:
        if path.stat().st_size > _LARGEST_JSON:
            raise ValueError(f"it has more than {_LARGEST_JSON:,} bytes")
        return json.loads(path.read_text())
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(f"Not a readable JSON file ({error}). Received: {str(path)!r}") from error


def _to_json(value, indent="") -> str:
    """Return JSON with one line for each entry of a dict and for each row of a matrix."""
    inner = indent + "  "
    if isinstance(value, dict):
        brackets, entries = "{}", [f"{json.dumps(name)}: {_to_json(entry, inner)}" for name, entry in value.items()]
    elif isinstance(value, list | tuple) and any(isinstance(entry, list | tuple) for entry in value):
        brackets, entries = "[]", [_to_json(entry, inner) for entry in value]
    else:
        return json.dumps(None if isinstance(value, float) and not math.isfinite(value) else value, allow_nan=False)
    lines = ",".join(f"\n{inner}{entry}" for entry in entries)
    return f"{brackets[0]}{lines}\n{indent}{brackets[1]}"


def _with_nan(value):
    """Return what JSON holds, with NaN in place of null."""
    if isinstance(value, dict):
        return {name: _with_nan(entry) for name, entry in value.items()}
    if isinstance(value, list):
        return [_with_nan(entry) for entry in value]
    return math.nan if value is None else value


def _number(text) -> float:
    try:
        return float(text)
    except (TypeError, ValueError):
        return math.nan
