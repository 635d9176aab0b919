"""Loops over time steps whose graph does not grow with their number."""

from __future__ import annotations

from collections.abc import Mapping

import tensorflow as tf

# Up to this number, steps are written out: a loop would cost time and save hardly any memory.
UNROLLED = 4


def repeat(count: int, body, carry, until=None):
    """Return the last carry of the loop carry = body(j, carry), j = 0 … count - 1.

    Args:
        count: Number of iterations, or the largest possible one if `until` is given.
        body: Function (j, carry) -> carry. j is a scalar int32 tensor, or an int if the loop is written out.
        carry: Nested structure of tensors.
        until: Number of iterations as a scalar int32 tensor; default None, `count` iterations.

    Returns:
        A structure like carry.
    """
    if until is None and count <= UNROLLED:
        for j in range(count):
            carry = body(j, carry)
        return carry
    _, carry = tf.while_loop(
        lambda j, _: j < (count if until is None else until),
        lambda j, carry: (j + 1, body(j, carry)),
        (tf.constant(0), carry),
        # One step at a time: steps in parallel would hold their temporaries at the same time.
        parallel_iterations=1,
        # XLA needs a static bound to differentiate the loop.
        maximum_iterations=count,
    )
    return carry


def arrays(count: int, likes: Mapping) -> dict:
    """Return for each tensor an empty array of `count` entries of its shape and type; writing copies nothing."""
    return {
        name: tf.TensorArray(like.dtype, count, element_shape=like.shape, clear_after_read=False)
        for name, like in likes.items()
    }


def write(into: dict, j, values: dict) -> dict:
    """Return the arrays with the values written to entry j."""
    return {name: into[name].write(j, value) for name, value in values.items()}


def unset(likes: Mapping) -> dict:
    """Return uninitialised tensors of the shapes and types of others; `place` must set all their entries."""
    # Zeros would become a constant of the graph, which stays in memory in addition to the copy that is written to.
    return {
        name: tf.raw_ops.Empty(shape=like.shape.as_list(), dtype=like.dtype, init=True) for name, like in likes.items()
    }


def place(into: dict, first: int, values: dict) -> dict:
    """Return the tensors with the entries from `first` on replaced by values, without a copy of the others."""
    return {
        name: tf.raw_ops.TensorStridedSliceUpdate(
            input=tensor, begin=[first], end=[first + values[name].shape[0]], strides=[1], value=values[name]
        )
        for name, tensor in into.items()
    }
