"""Loops over time steps whose graph does not grow with their number."""

from __future__ import annotations

import tensorflow as tf

# Few steps are written out: a loop costs more time than it saves memory.
_UNROLLED = 4


def repeat(count: int, body, carry):
    """Return carry after body(j, carry) for j = 0 … count - 1.

    Args:
        count: Static number of iterations.
        body: Function (j, carry) -> carry, j a scalar int32 tensor.
        carry: Nested structure of tensors.

    Returns:
        A structure like carry.
    """
    if count <= _UNROLLED:
        for j in range(count):
            carry = body(tf.constant(j), carry)
        return carry
    _, carry = tf.while_loop(
        lambda j, _: j < count,
        lambda j, carry: (j + 1, body(j, carry)),
        (tf.constant(0), carry),
        # One step at a time: steps that ran ahead would hold their temporaries at the same time.
        parallel_iterations=1,
        # XLA needs a static bound where the loop is differentiated.
        maximum_iterations=count,
    )
    return carry


def at(theta: dict, j) -> dict:
    """Return the weights at time t_j."""
    return {name: weight[j] for name, weight in theta.items()}


def window(theta: dict, first, steps: int) -> dict:
    """Return the weights at the times t_first … t_{first+steps-1}; their static shape is known."""
    begin = {name: [first] + [0] * (weight.shape.rank - 1) for name, weight in theta.items()}
    return {name: tf.slice(weight, begin[name], [steps, *weight.shape[1:]]) for name, weight in theta.items()}


def arrays(count: int, likes: dict) -> dict:
    """Return empty arrays of `count` entries, each of the shape and type of a tensor; writing one copies nothing."""
    return {
        name: tf.TensorArray(like.dtype, count, element_shape=like.shape, clear_after_read=False)
        for name, like in likes.items()
    }


def write(into: dict, j, values: dict) -> dict:
    """Return the arrays with entry j written."""
    return {name: into[name].write(j, value) for name, value in values.items()}
