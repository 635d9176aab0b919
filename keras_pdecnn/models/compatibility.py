"""Settings that change what a network computes, but not the shapes of its weights, in a network and in a file."""

from __future__ import annotations

import json
from collections.abc import Iterable

import keras

from keras_pdecnn import layers
from keras_pdecnn.layers.base_connector import BaseConnector

_OF_BLOCKS = ("activation", "normalization", "epsilon", "padding", "time_basis", "scheme", "sampling")
_OF_CONNECTORS = ("strides", "pool_size", "factor", "activation", "orthogonal")
# What settings were before there was a choice, which older files do not hold.
_FORMER = {
    **{"scheme": None, "sampling": "left", "coupling": None},
    **{"strides": 1, "activation": "relu", "orthogonal": False},
}


def differing_setting(model: keras.Model, stored: dict[str, dict]) -> str:
    """Describe the first setting by which a network and that of the file compute different functions, or return "".

    Args:
        model: The network.
        stored: Configurations of the layers of the file by name, see `StoredWeights`; a file without any tells nothing.
    """
    if not any(block.name in stored for block in model.blocks):
        return ""
    differences = (_difference_of(layer, stored[layer.name]) for layer in model.layers if layer.name in stored)
    own, other = _ends({layer.name: layer.get_config() for layer in model.layers}), _ends(stored)
    return next(filter(None, differences), "") or _different_setting(own, other, own)


def _difference_of(layer: keras.layers.Layer, other: dict) -> str:
    """Describe the first setting of a layer that makes it compute another function of the same weights."""
    if isinstance(layer, layers.PDEBlock):
        return _different_setting(layer.get_config(), other, _OF_BLOCKS) or _different_steps(layer, other)
    if isinstance(layer, BaseConnector):
        difference = _different_setting(layer.get_config(), other, _OF_CONNECTORS)
        return difference and f"in the layer {layer.name}, {difference}"
    return ""


def _ends(configs: dict[str, dict]) -> dict:
    """Return the settings of a builder that change what it does with input and output, but not its trained weights.

    Without `include_preprocessing`, the user standardises the examples, which is no other function of the network.

    Args:
        configs: Configurations of the layers of a network by name.
    """
    return {
        "restoration": "correction" in configs,
        "max_value": configs.get("to_pixels", {}).get("scale", 1.0),
        "spectrogram_step": configs.get("spectrogram", {}).get("frame_step"),
    }


def _different_setting(own: dict, other: dict, keys: Iterable[str]) -> str:
    """Describe the first setting that differs between a network and its file, of those that are known of both."""
    for key in keys:
        if key in own and (key in other or key in _FORMER):
            trained = other.get(key, _FORMER.get(key))
            if _comparable(trained) != _comparable(own[key]):
                return f"they were trained with {key}={trained!r}, the network has {key}={own[key]!r}"
    return ""


def _comparable(value):
    """Return a value as JSON holds it, with one number in place of several that are equal."""
    value = json.loads(json.dumps(value))
    return value[0] if isinstance(value, list) and value and value.count(value[0]) == len(value) else value


def _different_steps(block: layers.PDEBlock, other: dict) -> str:
    """Describe how the steps of a block differ from those of a block of the same scheme in a file."""
    own = block.get_config()
    if any(_is_coupled(block, settings) for settings in (own, other)):
        difference = _different_setting(own, other, ("backprop", "coupling"))
        if difference:
            return difference
    times = [_final_time(block, settings) for settings in (other, own)]
    if "steps" in other and times[0] != times[1]:
        return f"they were trained with a final time (by steps and step_size) of {times[0]}, the network has {times[1]}"
    return ""


def _is_coupled(block: layers.PDEBlock, settings: dict) -> bool:
    """Return whether the steps of a block are those of `ops.reversible`, which is another map."""
    return settings.get("backprop") == "reversible" and block.default_backprop(block.scheme) != "reversible"


def _final_time(block: layers.PDEBlock, settings: dict) -> float | str:
    """Return the time that the steps reach; that of an automatic step size depends on the weights."""
    h = settings.get("step_size") or 0
    return h if isinstance(h, str) else h * block.integrator.time(settings.get("steps", 0))
