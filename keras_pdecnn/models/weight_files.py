"""Files of trained weights: where they are, what they hold, and how arrays get from there into a network."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import functools
import io
import json
import os
import pathlib
import re
import tempfile
from collections.abc import Iterable, Iterator

import h5py
import keras

from keras_pdecnn.models import archive
from keras_pdecnn.utils import archives, files


def locate(path: str | os.PathLike, received: str = "Received: ") -> pathlib.Path:
    """Return the path of a file of weights: that of the file itself, or of the model in the folder of a run.

    Args:
        path: Path of a file or of the folder of a run; a leading ~ is the home folder.
        received: Beginning of the end of a message, which the path follows; default "Received: ".

    Raises:
        ValueError: If there is no such file.
    """
    path = pathlib.Path(path).expanduser()
    if path.is_dir():
        path = path / "model.keras"
        files.check_exists("The model of the run", path, received)
    else:
        files.check_exists("The file of the weights", path, received)
    return path


@dataclasses.dataclass(frozen=True)
class StoredWeights:
    """The weights of a network as they are stored, without the network.

    Args:
        content: Content of the HDF5 file that Keras writes.
        layers: Configurations of the layers by name, as far as they are known; default none.
    """

    content: bytes
    layers: dict[str, dict] = dataclasses.field(default_factory=dict)

    @classmethod
    def read(cls, path: pathlib.Path, received: str) -> StoredWeights:
        """Return the weights in a .keras file or in a .weights.h5 file.

        Args:
            path: Path of the file.
            received: End of the message if the file is damaged: "Received: weights='a.keras'".

        Raises:
            ValueError: If the file is damaged.
        """
        try:
            if path.suffix == ".h5":
                archives.check_file(path)
                config, content = {}, path.read_bytes()
            else:
                text, content = archive.read(path)
                config = json.loads(text)
            archive.check_weights(content)
            layers = config.get("config", {}).get("layers", [])
            # Keras leaves the name out of the configuration of some layers.
            return cls(content, {layer["config"].get("name", layer.get("name")): layer["config"] for layer in layers})
        except Exception as error:  # a damaged archive raises exceptions of a dozen types
            reason = str(error).strip().partition("\n")[0] or type(error).__name__
            raise ValueError(f"Not readable weights ({reason}). {received}") from error

    @functools.cached_property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of every array, by name: "dense/vars/0"."""
        with h5py.File(io.BytesIO(self.content), "r") as file:
            return shapes(file["layers"])

    def copy(self, names: Iterable[str], target: h5py.Group):
        """Replace arrays of `target`, which has been opened by `opened`, by those of the same names."""
        with h5py.File(io.BytesIO(self.content), "r") as file:
            for name in names:
                del target[name]
                file.copy(f"layers/{name}", target, name=name)


@contextlib.contextmanager
def opened(model: keras.Model) -> Iterator[h5py.Group]:
    """Open the weights of a network as a group of an HDF5 file, by layers; changes of it are changes of the network.

    An exception inside the block leaves the network as it is.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "model.weights.h5")
        model.save_weights(path)
        with h5py.File(path, "r+") as file:
            yield file["layers"]
        model.load_weights(path)


def shapes(group: h5py.Group) -> dict[str, tuple[int, ...]]:
    """Return the shape of every array below a group, by name."""
    arrays: dict[str, tuple[int, ...]] = {}

    def visit(name, item):
        if isinstance(item, h5py.Dataset):
            arrays[name] = item.shape

    group.visititems(visit)
    return arrays


def group_names(model: keras.Model) -> dict[str, str]:
    """Return the names of the groups that the layers of a network have in a file, by the names of the layers.

    Keras numbers the layers of each class: "connector", "connector_1", ….
    """
    counts: collections.Counter[str] = collections.Counter()
    names = {}
    for layer in model.layers:
        kind = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", type(layer).__name__)
        kind = re.sub(r"([a-z])([A-Z])", r"\1_\2", kind).lower()
        names[layer.name] = f"{kind}_{counts[kind]}" if counts[kind] else kind
        counts[kind] += 1
    return names
