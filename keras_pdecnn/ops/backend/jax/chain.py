"""The gradient of a chain of invertible maps: JAX keeps its output, and undoes one map after the other."""

from __future__ import annotations

import jax

from keras_pdecnn.ops.chain import Chain, Passage


def propagate(chain: Chain, x, weights: dict, others: dict) -> tuple:
    """Take a tensor through a chain, see `ops.backend.chain`."""
    # The number of losses of each evaluation, which is known after the forward pass has been traced.
    counts: list = []

    def advance(x, weights, others):
        passage = chain.advance(x, {**weights, **others})
        counts[:] = passage.counts
        return passage

    @jax.custom_vjp
    def run(x, weights, others):
        passage = advance(x, weights, others)
        return passage.y, passage.changes, passage.losses

    def forward(x, weights, others):
        passage = advance(x, weights, others)
        outputs = passage.y, passage.changes, passage.losses
        return outputs, (passage.y, passage.changes, passage.kept, weights, others)

    def backward(residuals, cotangents):
        y, changes, kept, weights, others = residuals
        cotangent, _, of_losses = cotangents
        passage = Passage(y, changes, [], kept, counts)
        of_x, of_weights = chain.pull_back(passage, cotangent, of_losses, weights, others)
        zeros = {key: jax.numpy.zeros_like(weight) for key, weight in weights.items()}
        return of_x, {**zeros, **of_weights}, dict.fromkeys(others)

    run.defvjp(forward, backward)
    return run(x, weights, others)
