"""Loading models from .keras files that may be damaged or hostile.

A .keras file is a zip archive of a configuration and of weights. It is examined before Keras sees it: the checksums of
its members, which Keras does not always compare; the classes that the configuration names, against a list; and the
weights that the network would have, against those that are stored.
"""

from __future__ import annotations

import io
import json
import math
import os
import threading
import warnings

import h5py
import keras
import ml_dtypes  # noqa: F401  makes the names of bfloat16 and float8 known to NumPy
import numpy as np

import keras_pdecnn.models  # noqa: F401  registers what the files refer to
from keras_pdecnn.networks import NETWORKS
from keras_pdecnn.utils import archives

_CONFIG, _METADATA, _WEIGHTS = "config.json", "metadata.json", "model.weights.h5"
_LARGEST = {_METADATA: 2**20, _CONFIG: 2**24, _WEIGHTS: 2**33}
_EXPANSION = 100  # weights hardly compress; Keras stores them as they are

# Layers of Keras that only compute. Others hold code (Lambda) or models (TFSMLayer), or read files (StringLookup).
_LAYERS = {
    *("InputLayer", "Identity", "Activation", "Dense", "BatchNormalization", "LayerNormalization"),
    *("GroupNormalization", "UnitNormalization", "Normalization", "Rescaling", "Dropout", "GaussianNoise"),
    *("Flatten", "Reshape", "Permute", "Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum", "Concatenate"),
    *("ReLU", "LeakyReLU", "PReLU", "ELU", "Softmax", "STFTSpectrogram"),
    *(f"{name}{rank}D" for rank in (1, 2, 3) for name in ("Conv", "DepthwiseConv", "AveragePooling", "MaxPooling")),
    *(f"{name}{rank}D" for rank in (1, 2, 3) for name in ("GlobalAveragePooling", "GlobalMaxPooling")),
    *(f"{name}{rank}D" for rank in (1, 2, 3) for name in ("SpatialDropout", "ZeroPadding", "Cropping")),
}
_CLASSES = {
    "keras.layers": _LAYERS,
    "keras": {"DTypePolicy", "Model", "Sequential"},
    "keras.src.models.functional": {"Functional"},
}
# Modules without any class that holds code or touches a file. Functions are looked up in them, too.
_MODULES = {
    *("keras.activations", "keras.constraints", "keras.dtype_policies", "keras.initializers", "keras.losses"),
    *("keras.metrics", "keras.optimizers", "keras.optimizers.schedules", "keras.regularizers"),
}
_TORCH_OPTIMIZERS = "keras.src.backend.torch.optimizers."  # whose classes Keras puts in place of its public ones
_OWN = "keras_pdecnn"


def load_model(path, compile: bool = True) -> keras.Model:
    """Load a .keras file in Keras's safe mode, after checking that its content is harmless and whole.

    Args:
        path: Path of the file.
        compile: Whether the optimiser and the loss are loaded too; default True.

    Returns:
        The model.

    Raises:
        ValueError: If there is no such file, or it is damaged; if it names a class that is neither of this package nor
            a plain one of Keras, in which case no code of the file has run; or if its weights are not those of its
            network.

    Example:
        >>> load_model("runs/digits/model.keras").output_shape  # doctest: +SKIP
        (None, 10)
    """
    path = os.fspath(path)
    try:
        with archives.open_archive(path) as archive:
            text, weights = _read(archive)
        check_config(json.loads(text))
        count = _check_weights(weights)
        _check_size(json.loads(text), len(weights))
        with warnings.catch_warnings(record=True) as notes:
            model = keras.saving.load_model(path, compile=compile, safe_mode=True)
        # A configuration may make Keras believe that a layer is built while it has no weights.
        if len(model.variables) < count:
            raise ValueError(f"its network has {len(model.variables)} weights, of which {count} are stored")
    except Exception as error:  # a damaged archive raises exceptions of a dozen types
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise ValueError(f"Not a readable model ({reason}). Received: {path!r}") from error
    for note in notes:  # a file that is not loaded has an error, and needs no warnings
        warnings.warn_explicit(note.message, note.category, note.filename, note.lineno)
    return model


def check_config(config):
    """Raise ValueError if the configuration of a model names an object that is not known to be harmless.

    Args:
        config: The content of config.json: nested dicts and lists.
    """
    if isinstance(config, list):
        for entry in config:
            check_config(entry)
    elif isinstance(config, dict):
        if ("class_name" in config or "module" in config) and not _is_known(config):
            name = config["config"] if config.get("class_name") == "function" else config.get("class_name")
            raise ValueError(
                f"it refers to {config.get('module')}.{name}, which is neither of {_OWN} nor a plain object of Keras"
            )
        for entry in config.values():
            check_config(entry)


def _is_known(config: dict) -> bool:
    """Return whether a serialised object is of this package or a plain one of Keras."""
    module, name, registered = (config.get(key) for key in ("module", "class_name", "registered_name"))
    if name == "__keras_tensor__":  # a shape, a type and a place in the network
        return True
    if isinstance(registered, str) and registered in _registered_blocks():
        return name == registered.partition(">")[2]
    if name == "function":
        name = config.get("config")
    if not (isinstance(module, str) and isinstance(name, str)):
        return False
    if module.startswith(_TORCH_OPTIMIZERS):
        module = "keras.optimizers"
    # Keras looks for the registered name first.
    if module.split(".")[0] == _OWN and config["class_name"] != "function":
        return isinstance(registered, str) and _is_own(registered, name)
    if registered not in (None, name, f"{_OWN}>{name}"):
        return False
    plain = module == "builtins" if config["class_name"] == "function" else name in _CLASSES.get(module, ())
    return plain or module in _MODULES


def _is_own(registered: str, name: str) -> bool:
    """Return whether a class of this name is registered by this package."""
    cls = keras.saving.get_custom_objects().get(registered)
    return registered.startswith(f"{_OWN}>") and getattr(cls, "__name__", None) == name


def _registered_blocks() -> set[str]:
    """Return the names under which the blocks of `NETWORKS`, those that users added too, are registered with Keras."""
    names = {keras.saving.get_registered_name(network.block) for network in NETWORKS.values()}
    return names & keras.saving.get_custom_objects().keys()


def _read(archive) -> tuple[bytes, bytes]:
    """Return the configuration and the weights; raise an exception if something is damaged, missing or too large."""
    stored = archive.getinfo(_WEIGHTS).compress_size
    archives.verify(archive, {**_LARGEST, _WEIGHTS: min(_LARGEST[_WEIGHTS], _EXPANSION * stored)})
    return archive.read(_CONFIG), archive.read(_WEIGHTS)


def _check_weights(weights: bytes) -> int:
    """Return the number of arrays of layers in an HDF5 file.

    Raises:
        ValueError: If an array declares to be larger than the file, or lies in another file.
    """
    count = 0
    declared = []

    def visit(name, item):
        nonlocal count
        if isinstance(item, h5py.Group):
            links = {key: item.get(key, getlink=True) for key in item}
            if other := [key for key, link in links.items() if not isinstance(link, h5py.HardLink)]:
                raise ValueError(f"{_WEIGHTS} holds {other[0]} as a link")
        if isinstance(item, h5py.Dataset):
            declared.append(item.nbytes)
            count += name.startswith("layers/")
            if item.external or item.is_virtual:
                raise ValueError(f"{_WEIGHTS} takes {name} from another file")
            if item.dtype.kind not in "fiubV":
                raise ValueError(f"{_WEIGHTS} holds {name} of type {item.dtype}")

    with h5py.File(io.BytesIO(weights), "r") as file:
        visit("", file)
        file.visititems(visit)
    if sum(declared) > len(weights):
        raise ValueError(f"{_WEIGHTS} of {len(weights):,} bytes declares arrays of {sum(declared):,} bytes")
    return count


def _check_size(config: dict, stored: int):
    """Raise ValueError if the network has more bytes of weights than are stored.

    The network is built without its weights, in a thread: what Keras records of them ends with the thread.
    """
    outcome = []

    def build():
        try:
            with keras.StatelessScope(initialize_variables=False):
                model = keras.saving.deserialize_keras_object({**config, "compile_config": None}, safe_mode=True)
                if not isinstance(model, keras.Model):
                    raise ValueError(f"it is no model but a {type(model).__name__}")
                outcome.append(sum(math.prod(v.shape) * np.dtype(v.dtype).itemsize for v in model.variables))
        except Exception as error:
            outcome.append(error)

    thread = threading.Thread(target=build)
    thread.start()
    thread.join()
    if isinstance(outcome[0], Exception):
        raise outcome[0]
    if outcome[0] > stored:
        raise ValueError(f"its network has {outcome[0]:,} bytes of weights, of which {stored:,} can be stored")
