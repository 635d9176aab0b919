"""The gradient of a chain of invertible maps: PyTorch keeps its output, and undoes one map after the other."""

from __future__ import annotations

import dataclasses

import torch
from torch.autograd.function import once_differentiable

from keras_pdecnn.ops.chain import Chain, Passage


def propagate(chain: Chain, x, weights: dict, others: dict) -> tuple:
    """Take a tensor through a chain, see `ops.backend.chain`."""
    call = _Call(chain, list(weights), list(others))
    y, *rest = _Propagation.apply(call, x, *weights.values(), *others.values())
    count = sum(call.counts)
    return y, dict(zip(call.changed, rest[count:], strict=True)), rest[:count]


@dataclasses.dataclass
class _Call:
    """What is no tensor in one call of a chain.

    Attributes:
        chain: Chain.
        weights: Keys of the values that have a gradient.
        others: Keys of the other values.
        counts: Number of losses of each evaluation.
        changed: Keys of the values that have changed.
        kept: For each evaluation, the keys of the values that it changed.
    """

    chain: Chain
    weights: list
    others: list
    counts: list = dataclasses.field(default_factory=list)
    changed: list = dataclasses.field(default_factory=list)
    kept: list = dataclasses.field(default_factory=list)


class _Propagation(torch.autograd.Function):
    """Keeps the output of a chain and its values, and undoes the links in the backward pass."""

    @staticmethod
    def forward(ctx, call, x, *tensors):
        values = dict(zip(call.weights + call.others, tensors, strict=True))
        passage = call.chain.advance(x, values)
        call.counts, call.changed = passage.counts, list(passage.changes)
        call.kept = [list(kept) for kept in passage.kept]
        y = passage.y.clone() if passage.y is x else passage.y  # an input must not be returned
        # Assignments change the values of variables in place, so those that have changed are kept as copies.
        kept = [value.clone() for kept in passage.kept for value in kept.values()]
        changes = list(passage.changes.values())
        unchanged = [value for key, value in values.items() if key not in passage.changes]
        ctx.call = call
        ctx.save_for_backward(y, *changes, *kept, *unchanged)
        ctx.mark_non_differentiable(*changes)
        return (y, *passage.losses, *changes)

    @staticmethod
    @once_differentiable
    def backward(ctx, cotangent, *rest):
        call, saved = ctx.call, iter(ctx.saved_tensors)
        y = next(saved)
        changes = {key: next(saved) for key in call.changed}
        kept = [{key: next(saved) for key in keys} for keys in call.kept]
        values = changes | {key: next(saved) for key in call.weights + call.others if key not in changes}
        weights, others = ({key: values[key] for key in keys} for keys in (call.weights, call.others))
        passage = Passage(y, changes, [], kept, call.counts)
        # Gradients that were allocated among the temporaries would leave holes in the memory, which grows with each.
        sums = {key: torch.zeros_like(weight) for key, weight in weights.items()}
        of_x, gradients = call.chain.pull_back(passage, cotangent, rest[: sum(call.counts)], weights, others, sums)
        return None, of_x, *(gradients[key] for key in call.weights), *[None] * len(call.others)
