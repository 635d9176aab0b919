"""Weights that a network starts from: trained ones that come with the package, or those of a file."""

from __future__ import annotations

import hashlib
import json
import os
import pathlib

import keras

from keras_pdecnn.models import weight_files
from keras_pdecnn.models.compatibility import differing_setting
from keras_pdecnn.models.weight_files import StoredWeights
from keras_pdecnn.utils import arguments

FOLDER = pathlib.Path(__file__).parent / "weights"
"""Folder with DATA/BUILDER.keras, the trained weights, and DATA/BUILDER.json, what is known of them."""


def load_pretrained(model: keras.Model, weights, builder: str, include_top: bool) -> keras.Model:
    """Give a network the weights that its builder was asked for, and return it.

    Args:
        model: The network.
        weights: Name of a data set, such as "cifar10", for the trained weights that come with the package; or the path
            of a .keras file, of a .weights.h5 file or of the folder of a run; or None, which changes nothing.
        builder: Name of the function that built the network, such as "HamiltonianCNN".
        include_top: Whether the network has a classifier; if not, that of the file is left out.

    Raises:
        ValueError: If there are no such weights, their file is damaged, or they do not fit the network.
    """
    if weights is None:
        return model
    received = f"Received: weights={arguments.describe(weights)}"
    stored = StoredWeights.read(_path(weights, builder), received)
    with weight_files.opened(model) as own:
        expected, offered = weight_files.shapes(own), stored.shapes
        if not include_top:  # the classifier is the only part that a network without top leaves out
            offered = {name: shape for name, shape in offered.items() if not _is_classifier(name)}
        mismatch = _differing_array(offered, expected) or differing_setting(model, stored.layers)
        if mismatch:
            raise ValueError(f"The weights do not fit this {builder}: {mismatch}. {received}")
        stored.copy(expected, own)
    return model


def record(data: str, builder: str) -> dict:
    """Return what is known of trained weights: the command that trained them, their accuracy and their checksum.

    Args:
        data: Name of the data set, such as "cifar10".
        builder: Name of the function that builds the network, such as "HamiltonianCNN".

    Raises:
        ValueError: If there are no such weights.

    Example:
        >>> record("cifar10", "HamiltonianCNN")["classes"][3]
        'cat'
    """
    return json.loads(_own_path(data, builder).with_suffix(".json").read_text(encoding="utf-8"))


def _own_path(data: str, builder: str) -> pathlib.Path:
    """Return the path of weights that come with the package."""
    path = FOLDER / data / f"{builder}.keras"
    if not path.exists():
        names = sorted(folder.name for folder in FOLDER.iterdir() if (folder / f"{builder}.keras").exists())
        offer = ", ".join(map(repr, names)) or "none"
        raise ValueError(
            f"weights must be None, the path of a file or of a run, or the name of trained weights of a {builder}, of "
            f"which there are: {offer}. Received: weights={data!r}"
        )
    return path


def _path(weights, builder: str) -> pathlib.Path:
    """Return the path of the file with the weights, whose checksum is right if it comes with the package."""
    if not isinstance(weights, str | os.PathLike):
        raise ValueError(
            "weights must be None, the name of trained weights or a path. "
            f"Received: weights={arguments.describe(weights)}"
        )
    path = pathlib.Path(weights).expanduser()
    if path.exists() or path.name != os.fspath(weights) or path.suffix in (".keras", ".h5"):
        return weight_files.locate(path, "Received: weights=")
    own = _own_path(os.fspath(weights), builder)
    if hashlib.sha256(own.read_bytes()).hexdigest() != record(path.name, builder)["sha256"]:
        raise ValueError(
            f"The file of the trained weights is damaged: its checksum is not the recorded one. Install the package "
            f"again. Received: weights={weights!r}"
        )
    return own


def _differing_array(stored: dict[str, tuple], expected: dict[str, tuple]) -> str:
    """Describe the first array that weights and network do not both have in the same shape, or return ""."""
    kernels_first = sorted({**expected, **stored}.items(), key=lambda item: (-len(item[1]), item[0]))
    for name, _ in kernels_first:
        if expected.get(name) != stored.get(name):
            return _difference(name, stored.get(name), expected.get(name))
    return ""


def _is_classifier(name: str) -> bool:
    return name.partition("/")[0] in ("dense", "normalized_dense")


def _difference(name: str, stored: tuple | None, expected: tuple | None) -> str:
    """Describe one array that is missing, or has another shape."""
    layer = name.partition("/")[0]
    if stored is None or expected is None:
        has, lacks = ("network", "file") if stored is None else ("file", "network")
        return f"the {has} has a layer {layer} with weights that the {lacks} has not"
    if _is_classifier(name) and stored[:-1] == expected[:-1]:
        return (
            f"they were trained for {stored[-1]} classes, the network has {expected[-1]}. With include_top=False the "
            "network has no classifier, and you can add your own"
        )
    if layer == "connector" and stored[:-2] == expected[:-2] and stored[-2] != expected[-2]:
        return f"they were trained for inputs of {stored[-2]} channels, the network takes {expected[-2]}"
    return f"an array of the layer {layer} has the shape {stored} in the file and {expected} in the network"
