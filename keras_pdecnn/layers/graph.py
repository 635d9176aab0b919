"""The calls of layers that a functional or sequential model consists of, those inside nested models included."""

from __future__ import annotations

import dataclasses
import functools
import inspect
from typing import Any

import keras

from keras_pdecnn.layers.block import PDEBlock


@dataclasses.dataclass(frozen=True)
class Reference:
    """A tensor of a model: one of its inputs, or an output of one of its calls.

    Args:
        call: Index of the call in the list of all calls; -1 for the inputs of the model.
        index: Number of the tensor among the outputs of the call.
        shape: Shape of the tensor.
        dtype: Type of the tensor.
    """

    call: int
    index: int
    shape: tuple
    dtype: str


@dataclasses.dataclass(frozen=True)
class Call:
    """One call of one layer.

    Args:
        layer: The layer, or an operation of `keras.ops`.
        name: Name of the layer; behind those of the models that it is in, and with the number of the call if it is
            called more than once: "features/block_1 (call 2)".
        args: Arguments without a name, in which a `Reference` stands for each tensor.
        kwargs: Arguments with a name, likewise.
    """

    layer: Any
    name: str
    args: tuple
    kwargs: dict

    @property
    def sources(self) -> list[Reference]:
        """The tensors that the layer is called on."""
        flat = keras.tree.flatten([list(self.args), self.kwargs])
        return [entry for entry in flat if isinstance(entry, Reference)]


class Graph:
    """All calls of layers that a model consists of, in an order in which they can be computed.

    Args:
        model: A built functional or sequential model. Of a model with a `call` of its own, nothing is known.

    Raises:
        ValueError: If it is no such model.
    """

    def __init__(self, model: keras.Model):
        if not is_graph(model):
            raise ValueError(f"model must be a built functional or sequential model. Received: model={model!r}")
        self.calls: list[Call] = []
        self._counts: dict[str, int] = {}
        self.inputs = _references(-1, model.inputs)
        self.outputs = self._add(model, self.inputs, "")

    @property
    def blocks(self) -> list[Call]:
        """The calls of blocks, in order."""
        return [call for call in self.calls if isinstance(call.layer, PDEBlock)]

    def block_inputs(self, x) -> list:
        """Return the features that reach each call of a block, in the order of `blocks`, in inference.

        Args:
            x: Input of the model, a tensor; a model of several inputs takes a list of them.
        """
        numbers = [number for number, call in enumerate(self.calls) if isinstance(call.layer, PDEBlock)]
        last = max(numbers, default=-1)
        given = zip(keras.tree.flatten(x), self.inputs, strict=True)
        values: dict[tuple[int, int], Any] = {(-1, i): keras.ops.cast(y, z.dtype) for i, (y, z) in enumerate(given)}
        reaching = []

        def value_of(entry):
            return values[entry.call, entry.index] if isinstance(entry, Reference) else entry

        for number, call in enumerate(self.calls[: last + 1]):
            args, kwargs = (keras.tree.map_structure(value_of, part) for part in (list(call.args), call.kwargs))
            if isinstance(call.layer, PDEBlock):
                reaching.append(args[0])
            if number < last:
                if _takes_training(call.layer):
                    kwargs = {**kwargs, "training": False}
                outputs = keras.tree.flatten(call.layer(*args, **kwargs))
                values |= {(number, i): output for i, output in enumerate(outputs)}
        return reaching

    def _add(self, model: keras.Model, given: list[Reference], path: str) -> list[Reference]:
        """Add the calls of a model that is called on these tensors; return its outputs."""
        if isinstance(model, keras.Sequential):
            for layer in model.layers:
                given = self._add_call(layer, (given[0],), {}, path)
            return given
        config = _config(model) or {}
        operations = {operation.name: operation for operation in model.operations}
        tensors = dict(zip(_places(config["input_layers"]), given, strict=True))
        waiting = [
            (entry["name"], number, node)
            for entry in config["layers"]
            for number, node in enumerate(entry["inbound_nodes"])
        ]
        while waiting:
            later = []
            for name, number, node in waiting:
                if any(place not in tensors for place in _tensors([node["args"], node["kwargs"]])):
                    later.append((name, number, node))
                    continue
                args, kwargs = _read(node["args"], tensors), _read(node["kwargs"], tensors)
                outputs = self._add_call(operations[name], tuple(args), kwargs, path)
                tensors |= {(name, number, i): output for i, output in enumerate(outputs)}
            if len(later) == len(waiting):
                raise ValueError(f"The calls of a model need values from elsewhere. Received: model={model.name}")
            waiting = later
        # Among the outputs, Keras counts the calls of a nested functional model from 1.
        nested = {name for name, layer in operations.items() if isinstance(layer, _functional())}
        places = ((name, number - (name in nested), i) for name, number, i in _places(config["output_layers"]))
        return [tensors[place] for place in places]

    def _add_call(self, layer, args: tuple, kwargs: dict, path: str) -> list[Reference]:
        """Add one call, or those of a nested model; return the outputs."""
        name = path + layer.name
        self._counts[name] = self._counts.get(name, 0) + 1
        name += f" (call {self._counts[name]})" if self._counts[name] > 1 else ""
        call = Call(layer, name, args, kwargs)
        if is_graph(layer):
            return self._add(layer, call.sources, f"{name}/")
        self.calls.append(call)
        return _references(len(self.calls) - 1, _output_specs(layer, call))


def block_calls(model: keras.Model) -> list[Call]:
    """Return the calls of blocks of a model, also of those in nested models, in order; none of a model without any."""
    return Graph(model).blocks if is_graph(model) else []


def is_graph(model) -> bool:
    """Return whether a model calls its layers and nothing else: a derived class may redefine `call`."""
    if not isinstance(model, keras.Model) or not model.built:
        return False
    kind = type(model)
    calls_layers = any(
        (kind.call, kind.__call__) == (own.call, own.__call__) for own in (keras.Sequential, _functional())
    )
    return calls_layers and (isinstance(model, keras.Sequential) or _config(model) is not None)


def _config(model: keras.Model) -> dict | None:
    """Return the configuration of a functional model, None for a class whose `get_config` says something else."""
    try:
        config = model.get_config()
    except (NotImplementedError, TypeError):
        return None
    return config if {"layers", "input_layers", "output_layers"} <= config.keys() else None


@functools.cache
def _functional() -> type[keras.Model]:
    """Return the class of functional models, which Keras has no public name for."""
    return type(keras.Model(inputs := keras.Input((1,)), inputs))


def _takes_training(layer) -> bool:
    return "training" in inspect.signature(layer.call).parameters


def _references(call: int, tensors: list) -> list[Reference]:
    """Return references to the outputs of a call."""
    return [Reference(call, i, tuple(tensor.shape), str(tensor.dtype)) for i, tensor in enumerate(tensors)]


def _output_specs(layer, call: Call) -> list:
    """Return the outputs of a call as tensors without values."""

    def spec(entry):
        return keras.KerasTensor(entry.shape, entry.dtype) if isinstance(entry, Reference) else entry

    args, kwargs = (keras.tree.map_structure(spec, part) for part in (list(call.args), call.kwargs))
    return keras.tree.flatten(layer.compute_output_spec(*args, **kwargs))


def _is_tensor(entry) -> bool:
    return isinstance(entry, dict) and entry.get("class_name") == "__keras_tensor__"


def _places(config) -> list[tuple]:
    """Return where inputs or outputs of a model come from: (name of a layer, number of its call, of its output)."""
    if isinstance(config, list | tuple) and len(config) == 3 and isinstance(config[0], str):
        return [tuple(config)]
    return [place for entry in (config.values() if isinstance(config, dict) else config) for place in _places(entry)]


def _tensors(config) -> list[tuple]:
    """Return where the tensors among the arguments of a call come from, as `_places` does."""
    if _is_tensor(config):
        return [tuple(config["config"]["keras_history"])]
    if isinstance(config, dict):
        config = list(config.values())
    return [place for entry in config for place in _tensors(entry)] if isinstance(config, list | tuple) else []


def _read(config, tensors: dict) -> Any:
    """Return the arguments of a call from their configuration."""
    if _is_tensor(config):
        return tensors[tuple(config["config"]["keras_history"])]
    if isinstance(config, list | tuple):
        return type(config)(_read(entry, tensors) for entry in config)
    if isinstance(config, dict) and "class_name" in config:
        return keras.saving.deserialize_keras_object(config)
    return {name: _read(entry, tensors) for name, entry in config.items()} if isinstance(config, dict) else config
