"""The gradient of a chain of invertible maps: TensorFlow keeps its output, and undoes one map after the other."""

from __future__ import annotations

import dataclasses

import tensorflow as tf

from keras_pdecnn.ops.chain import Chain


def propagate(chain: Chain, x, weights: dict, others: dict) -> tuple:
    """Take a tensor through a chain, see `ops.backend.chain`."""
    names, fixed, passages = list(weights), list(others), []

    @tf.custom_gradient
    def run(x, *tensors):
        # TensorFlow's own tape would otherwise keep the activations, as it records what a custom gradient computes.
        x, *inner = map(tf.stop_gradient, (x, *tensors))
        passage = chain.advance(x, dict(zip(names + fixed, inner, strict=True)))
        passages.append(passage)
        count = len(passage.losses)

        def gradient(cotangent, *rest):
            # The recorded tensors, so that this gradient has a gradient again.
            values = dict(zip(names + fixed, tensors, strict=True))
            weights, others = ({key: values[key] for key in keys} for keys in (names, fixed))
            of_x, of_weights = chain.pull_back(passages[-1], cotangent, rest[:count], weights, others)
            zeros = {key: tf.zeros_like(weights[key]) for key in names if key not in of_weights}
            gradients = {**of_weights, **zeros}
            return of_x, *(gradients[key] for key in names), *[None] * len(fixed)

        return (passage.y, *passage.losses, *passage.changes.values()), gradient

    # A variable would have no gradient inside a custom gradient, but a tensor that was read from it has one.
    y, *rest = run(x, *map(tf.convert_to_tensor, (*weights.values(), *others.values())))
    passage = passages[-1]
    count = len(passage.losses)
    changes = dict(zip(passage.changes, rest[count:], strict=True))
    passages[:] = [dataclasses.replace(passage, y=y, changes=changes)]
    return y, changes, rest[:count]
