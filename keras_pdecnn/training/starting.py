"""Starting a training from the weights of a network that has been trained before."""

from __future__ import annotations

import os
import pathlib

import keras

from keras_pdecnn.models.loading import load_model
from keras_pdecnn.runs import RunFolder
from keras_pdecnn.utils import files


def load_trained(path: str | os.PathLike) -> keras.Model:
    """Return the network of a run folder or of a .keras file.

    Args:
        path: Path of the folder or of the file.

    Raises:
        ValueError: If there is no such folder or file, or the network cannot be loaded.
    """
    path = pathlib.Path(path).expanduser()
    files.check_exists("The run folder or the .keras file to start from", path)
    return RunFolder(path).load_model(compile=False) if path.is_dir() else load_model(path, compile=False)


def copy_weights(trained: keras.Model, model: keras.Model, where: str):
    """Copy the weights of a trained network, layer by layer; a classifier of other classes keeps its own.

    Args:
        trained: The trained network.
        model: The network that is to be trained, whose last layer is the classifier.
        where: Path of the trained network, for messages.

    Raises:
        ValueError: If a layer other than the classifier is missing in one of the networks, or has other shapes there.
    """
    weights = {layer.name: layer.get_weights() for layer in trained.layers if layer.weights}
    layers = {layer.name: layer for layer in model.layers if layer.weights}
    head = model.layers[-1].name
    if other := [name for name in weights if name not in layers and name != head]:
        raise ValueError(f"The network to start from has a layer {other[0]!r} that this one lacks. Received: {where!r}")
    for name, layer in layers.items():
        shapes, expected = ([tuple(w.shape) for w in side] for side in (weights.get(name, ()), layer.get_weights()))
        if shapes == expected:
            layer.set_weights(weights[name])
        elif name != head:
            what = f"weights of the shapes {shapes}" if name in weights else "no weights"
            raise ValueError(
                f"The network to start from must have the shapes {expected} in its layer {name!r}. "
                f"Received: {where!r} with {what}"
            )
