"""Starting a training from the weights of a network that has been trained before."""

from __future__ import annotations

import os

import keras

from keras_pdecnn.models import weight_files
from keras_pdecnn.models.weight_files import StoredWeights


def read_weights(path: str | os.PathLike) -> StoredWeights:
    """Return the weights of a run folder, of a .keras file or of a .weights.h5 file.

    Args:
        path: Path of the folder or of the file.

    Raises:
        ValueError: If there is no such folder or file, or it is damaged.
    """
    return StoredWeights.read(weight_files.locate(path), f"Received: {os.fspath(path)!r}")


def copy_weights(stored: StoredWeights, model: keras.Model, where: str):
    """Copy trained weights into a network, layer by layer; a classifier of other classes keeps its own.

    Args:
        stored: The trained weights.
        model: The network that is to be trained, whose last layer with weights is the classifier.
        where: Path of the trained weights, for messages.

    Raises:
        ValueError: If a layer other than the classifier is missing in the file or in the network, or has other shapes.
    """
    names = {group: layer for layer, group in weight_files.group_names(model).items()}
    head = next(layer.name for layer in reversed(model.layers) if layer.weights)
    with weight_files.opened(model) as own:
        arrays = weight_files.shapes(own)
        expected, offered = _by_layer(arrays), _by_layer(stored.shapes)
        kept = {group for group in {**expected, **offered} if names.get(group) == head}
        if other := [group for group in offered if group not in expected and group not in kept]:
            raise ValueError(
                f"The network to start from has a layer {other[0]!r} that this one lacks. Received: {where!r}"
            )
        fitting = {group for group in expected if expected[group] == offered.get(group)}
        in_order = [group for group in names if group in expected] + [group for group in expected if group not in names]
        for group in in_order:
            if group not in fitting and group not in kept:
                what = f"weights of the shapes {offered[group]}" if group in offered else "no weights"
                raise ValueError(
                    f"The network to start from must have the shapes {expected[group]} in its layer "
                    f"{names.get(group, group)!r}. Received: {where!r} with {what}"
                )
        stored.copy([name for name in arrays if name.partition("/")[0] in fitting], own)


def _by_layer(arrays: dict[str, tuple]) -> dict[str, list[tuple]]:
    """Return the shapes of the arrays of each layer."""
    layers: dict[str, list[tuple]] = {}
    for name, shape in sorted(arrays.items()):
        layers.setdefault(name.partition("/")[0], []).append(shape)
    return layers
