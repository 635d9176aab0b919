"""A chain of invertible maps of one tensor, and the gradient that runs the chain backwards.

Each map, a link, evaluates functions F with values of their own: weights, statistics and the states of random numbers.
An evaluation returns F(x), the values that it changed, and its losses. Losses are further results with a
gradient: those that layers add, and logarithms of determinants. The chain keeps the old ones of changed values,
which are small, and its output. Its gradient undoes one link after the other; each F is evaluated once more, from the
values that it had the first time, so that the same random numbers are drawn.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from keras import ops

from keras_pdecnn.ops.backend import primitives


class Function(Protocol):
    """A function F of a tensor and of values by key, which it does not change in place.

    Attributes:
        keys: Keys of the values that F uses.
    """

    keys: tuple[int, ...]

    def __call__(self, values: Mapping, x) -> tuple[Any, dict, list]:
        """Return F(x), a tensor or a tuple, the values that F changes by their keys, and the losses that F adds."""
        ...

    def inverse(self, values: Mapping, y):
        """Return x for which F(x) = y."""
        ...


class Link(Protocol):
    """An invertible map of a state: two halves of a tensor, or a tuple of the whole tensor."""

    @property
    def axis(self) -> int | None:
        """Axis along which the halves are split; None for the whole tensor."""
        ...

    def advance(self, state: tuple, evaluate: Callable) -> tuple:
        """Return the next state; `evaluate` is a function (F, x) -> F(x)."""
        ...

    def undo(self, state: tuple, evaluate: Callable, invert: Callable) -> tuple:
        """Return the previous state; `invert` is a function (F, y) -> x."""
        ...

    def pull_back(self, state: tuple, cotangent: tuple, replay: Replay) -> tuple[tuple, tuple]:
        """Return the previous state and its cotangent, from the next state and its cotangent."""
        ...


@dataclass(frozen=True)
class AdditiveLink:
    """Updates of halves, state[target] += F(state[source]), one after the other; then the halves may change places.

    Attributes:
        axis: Axis along which the halves are split.
        updates: Triples (source, target, F), in which source and target differ.
        swaps: Whether the halves change places at the end.
    """

    axis: int
    updates: tuple[tuple[int, int, Function], ...]
    swaps: bool = False

    def advance(self, state: tuple, evaluate: Callable) -> tuple:
        """Return the next state, see `Link`."""
        parts = list(state)
        for source, target, function in self.updates:
            parts[target] = parts[target] + evaluate(function, parts[source])
        return self._placed(parts)

    def undo(self, state: tuple, evaluate: Callable, invert: Callable) -> tuple:
        """Return the previous state, see `Link`."""
        del invert
        parts = list(self._placed(state))
        for source, target, function in reversed(self.updates):
            parts[target] = parts[target] - evaluate(function, parts[source])
        return tuple(parts)

    def pull_back(self, state: tuple, cotangent: tuple, replay: Replay) -> tuple[tuple, tuple]:
        """Return the previous state and its cotangent, see `Link`; one evaluation of F serves both."""
        parts, cotangents = list(self._placed(state)), list(self._placed(cotangent))
        for source, target, function in reversed(self.updates):
            value, pull_back = replay.linearize(function, parts[source])
            cotangents[source] = cotangents[source] + pull_back(cotangents[target])
            parts[target] = parts[target] - replay.delayed(value)
        return tuple(parts), tuple(cotangents)

    def _placed(self, parts) -> tuple:
        return tuple(reversed(parts)) if self.swaps else tuple(parts)


@dataclass(frozen=True)
class AffineLink:
    """Update of the first half, y' = exp(s) y + t with (s, t) = F(z) of the second half; then the halves change places.

    Attributes:
        axis: Axis along which the halves are split.
        function: Function F.
    """

    axis: int
    function: Function

    def advance(self, state: tuple, evaluate: Callable) -> tuple:
        """Return the next state, see `Link`."""
        y, z = state
        s, t = evaluate(self.function, z)
        return z, ops.exp(s) * y + t

    def undo(self, state: tuple, evaluate: Callable, invert: Callable) -> tuple:
        """Return the previous state, see `Link`."""
        del invert
        z, y = state
        s, t = evaluate(self.function, z)
        return ops.exp(-s) * (y - t), z

    def pull_back(self, state: tuple, cotangent: tuple, replay: Replay) -> tuple[tuple, tuple]:
        """Return the previous state and its cotangent, see `Link`; one evaluation of F serves both."""
        (z, y), (of_z, of_y) = state, cotangent
        (s, t), pull_back = replay.linearize(self.function, z)
        scaled = y - t
        of_z = of_z + pull_back((of_y * scaled, of_y))
        return (ops.exp(-s) * replay.delayed(scaled), z), (ops.exp(s) * of_y, of_z)


@dataclass(frozen=True)
class WholeLink:
    """A map of the whole tensor that knows its inverse.

    Attributes:
        function: Function F with a method `inverse`.
    """

    function: Function
    axis: None = None

    def advance(self, state: tuple, evaluate: Callable) -> tuple:
        """Return the next state, see `Link`."""
        return (evaluate(self.function, *state),)

    def undo(self, state: tuple, evaluate: Callable, invert: Callable) -> tuple:
        """Return the previous state, see `Link`."""
        del evaluate
        return (invert(self.function, *state),)

    def pull_back(self, state: tuple, cotangent: tuple, replay: Replay) -> tuple[tuple, tuple]:
        """Return the previous state and its cotangent, see `Link`."""
        x = replay.invert(self.function, *state)
        _, pull_back = replay.linearize(self.function, x)
        of_x = pull_back(*cotangent)
        return (replay.delayed(x),), (of_x,)


@dataclass(frozen=True)
class Passage:
    """What a chain has made of a tensor.

    Attributes:
        y: Output.
        changes: New values of all that have changed, by key.
        losses: Losses of all evaluations, in their order.
        kept: For each evaluation, the old ones of the values that it changed, by key.
        counts: Number of losses of each evaluation.
    """

    y: Any
    changes: dict
    losses: list
    kept: list[dict]
    counts: list[int]


class Chain:
    """Links, one after the other.

    Args:
        links: Links in the order of the forward pass.
    """

    def __init__(self, links):
        self.links: tuple[Link, ...] = tuple(links)

    def advance(self, x, values: Mapping) -> Passage:
        """Take a tensor through all links.

        Args:
            x: Tensor.
            values: Values by key, those of all functions.

        Returns:
            A `Passage`.
        """
        values, changes, losses, kept, counts = dict(values), {}, [], [], []

        def evaluate(function, x):
            value, changed, added = function(values, x)
            kept.append({key: values[key] for key in changed})
            counts.append(len(added))
            losses.extend(added)
            values.update(changed)
            changes.update(changed)
            return value

        return Passage(self.through(x, evaluate), changes, losses, kept, counts)

    def through(self, x, evaluate: Callable):
        """Return the output of all links for a function (F, x) -> F(x); the backend can differentiate it."""
        state, axis = (x,), None
        for link in self.links:
            state, axis = link.advance(_split_anew(state, axis, link.axis), evaluate), link.axis
        return _split_anew(state, axis, None)[0]

    def undo(self, y, evaluate: Callable, invert: Callable):
        """Return the tensor from which all links make y, for functions (F, x) -> F(x) and (F, y) -> x."""
        state, axis = (y,), None
        for link in reversed(self.links):
            state, axis = link.undo(_split_anew(state, axis, link.axis), evaluate, invert), link.axis
        return _split_anew(state, axis, None)[0]

    def pull_back(
        self, passage: Passage, cotangent, of_losses, weights: Mapping, others: Mapping, sums: Mapping | None = None
    ) -> tuple[Any, dict]:
        """Pull the cotangents of output and losses back to the input and the weights.

        Args:
            passage: Result of `advance`.
            cotangent: Cotangent of the output.
            of_losses: Cotangents of the losses.
            weights: Values, by key, that have a gradient.
            others: Other values by key.
            sums: Tensors, by key, to which the gradients of the weights are added; default None.

        Returns:
            Cotangent of the input, and gradients of the weights by their keys.
        """
        replay = Replay(passage, of_losses, weights, others, sums)
        # The recomputation must not begin during the forward pass.
        state, w, axis = (primitives.delayed(passage.y, cotangent),), (cotangent,), None
        for link in reversed(self.links):
            state, w = (_split_anew(parts, axis, link.axis) for parts in (state, w))
            (state, w), axis = link.pull_back(state, w, replay), link.axis
        return _split_anew(w, axis, None)[0], replay.gradients


class Replay:
    """Evaluations of a chain in the opposite order, each with the values that it had, and the gradients gathered.

    Args:
        passage: Result of `Chain.advance`.
        of_losses: Cotangents of the losses.
        weights: Values, by key, that have a gradient.
        others: Other values by key.
        sums: Tensors, by key, to which the gradients of the weights are added; default None.
    """

    def __init__(self, passage: Passage, of_losses, weights: Mapping, others: Mapping, sums: Mapping | None = None):
        self.gradients: dict = dict(sums or {})
        self._keys = set(weights)
        self._values = {**weights, **others, **passage.changes}
        self._kept = list(passage.kept)
        self._counts = list(passage.counts)
        self._of_losses = list(of_losses)
        self._latest: tuple = ()

    def invert(self, function: Function, y):
        """Return x for which the evaluation that is due next had the value y."""
        return function.inverse({**self._values, **self._kept[-1]}, y)

    def linearize(self, function: Function, x) -> tuple[Any, Callable]:
        """Repeat the evaluation that is due next.

        Args:
            function: Function F of that evaluation.
            x: Argument of that evaluation.

        Returns:
            F(x), and the function that pulls a cotangent of it back to x and gathers the gradients of the weights.
        """
        self._values |= self._kept.pop()
        count = self._counts.pop()
        first = len(self._of_losses) - count
        of_losses, self._of_losses = self._of_losses[first:], self._of_losses[:first]
        names = [key for key in function.keys if key in self._keys]
        fixed = {key: self._values[key] for key in function.keys if key not in self._keys}

        def evaluate(inputs):
            x, *weights = inputs
            value, _, losses = function({**fixed, **dict(zip(names, weights, strict=True))}, x)
            return (value, *losses)

        inputs = (x, *(self._values[key] for key in names))
        (value, *_), to_inputs = primitives.vjp(evaluate, inputs)

        def pull_back(cotangent):
            of_x, *of_weights = self._latest = to_inputs((cotangent, *of_losses))
            for key, gradient in zip(names, of_weights, strict=True):
                known = key in self.gradients
                self.gradients[key] = primitives.add(self.gradients[key], gradient) if known else gradient
            return of_x

        return value, pull_back

    def delayed(self, x):
        """Return a tensor, available only when the latest gradients have been computed.

        Otherwise the backend could undo many links ahead of their gradients, and keep the temporaries of all of them.
        """
        return primitives.delayed(x, self._latest)


def _split_anew(state: tuple, have: int | None, want: int | None) -> tuple:
    """Return a state that is split along one axis, or whole (None), split along another one, or whole."""
    if have == want:
        return state
    whole = state[0] if have is None else ops.concatenate(state, axis=have)
    return (whole,) if want is None else tuple(ops.split(whole, 2, axis=want))
