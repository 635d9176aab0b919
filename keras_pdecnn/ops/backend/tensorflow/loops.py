"""Loops over time steps whose graph does not grow with their number."""

from __future__ import annotations

from collections.abc import Mapping

import tensorflow as tf

# Few steps are written out: a loop costs more time than it saves memory.
UNROLLED = 4


def repeat(count: int, body, carry, until=None):
    """Return carry after body(j, carry) for j = 0 … count - 1.

    Args:
        count: Static number of iterations, or the most there can be.
        body: Function (j, carry) -> carry, j a scalar int32 tensor, or an int where the loop is written out.
        carry: Nested structure of tensors.
        until: Scalar int32 tensor, the number of iterations where it is not static; default None, count.

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
        # One step at a time: steps that ran ahead would hold their temporaries at the same time.
        parallel_iterations=1,
        # XLA needs a static bound where the loop is differentiated.
        maximum_iterations=count,
    )
    return carry


def arrays(count: int, likes: Mapping) -> dict:
    """Return empty arrays of `count` entries, each of the shape and type of a tensor; writing one copies nothing."""
    return {
        name: tf.TensorArray(like.dtype, count, element_shape=like.shape, clear_after_read=False)
        for name, like in likes.items()
    }


def write(into: dict, j, values: dict) -> dict:
    """Return the arrays with entry j written."""
    return {name: into[name].write(j, value) for name, value in values.items()}


def unset(likes: Mapping) -> dict:
    """Return tensors of the shapes and types of others whose entries are still to be set, all of them, by `place`."""
    # Zeros would become a constant of the graph, which stays in memory beside the copy that is written to.
    return {
        name: tf.raw_ops.Empty(shape=like.shape.as_list(), dtype=like.dtype, init=True) for name, like in likes.items()
    }


def place(into: dict, first: int, values: dict) -> dict:
    """Return the tensors with their entries from `first` on replaced by values; nothing else is copied."""
    return {
        name: tf.raw_ops.TensorStridedSliceUpdate(
            input=tensor, begin=[first], end=[first + values[name].shape[0]], strides=[1], value=values[name]
        )
        for name, tensor in into.items()
    }
