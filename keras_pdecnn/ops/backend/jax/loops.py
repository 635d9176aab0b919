"""Loops over time steps: written out on the CPU, `lax.scan` elsewhere."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp

LOOPS: bool | None = None
"""Whether steps are loops; None, the default: on every device but the CPU.

On the CPU, convolutions inside a loop of XLA are some twenty times slower than those that are written out. Elsewhere a
loop is as fast, its compilation does not take longer with depth, and its memory does not grow.
"""


def use_loops() -> bool:
    """Return whether steps are loops."""
    return jax.default_backend() != "cpu" if LOOPS is None else LOOPS


def scan(body: Callable, carry, inputs, reverse: bool = False):
    """Return (carry, outputs) of carry, output = body(carry, input) over axis 0 of all inputs, outputs stacked.

    Args:
        body: Function (carry, input) -> (carry, output), the output a structure of arrays or None.
        carry: Structure of arrays.
        inputs: Structure of arrays of one length on axis 0.
        reverse: Whether the last input comes first; outputs have the order of the inputs all the same.
    """
    if use_loops():
        return jax.lax.scan(body, carry, inputs, reverse=reverse)
    count = jax.tree.leaves(inputs)[0].shape[0]
    outputs: list = [None] * count
    for i in reversed(range(count)) if reverse else range(count):
        carry, outputs[i] = body(carry, jax.tree.map(lambda x, i=i: x[i], inputs))
    if outputs[0] is None:
        return carry, None
    return carry, jax.tree.map(lambda *values: jnp.stack(values), *outputs)
