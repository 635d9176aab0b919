"""How a SavedModel computes a batch: single examples, small batches, and larger ones in two halves side by side."""

from __future__ import annotations

from collections.abc import Callable

SMALLEST_SPLIT = 4
"""Size of the smallest batch that is split."""


def by_size(call: Callable, spec, jit_compile: bool) -> Callable:
    """Return a function of TensorFlow with the outputs of another one, which it calls as suits the size of the batch.

    TensorFlow's threads wait for each other after every convolution. Two independent halves fill each other's gaps:
    with two threads, batches of 8 and more take some 12 % less time, and batches of 2 take more. A GPU gets the whole
    batch. The function itself, with its weights, is only once in the file.

    Args:
        call: Function of a tensor of examples to a dict of tensors, in which no example depends on the others.
        spec: `tf.TensorSpec` of its argument.
        jit_compile: Whether XLA compiles the call for a single example.
    """
    import tensorflow as tf

    whole = tf.function(call, input_signature=[spec], autograph=False)

    def in_halves(x):
        middle = tf.shape(x)[0] // 2
        halves = whole(x[:middle]), whole(x[middle:])
        return {key: tf.concat([half[key] for half in halves], axis=0) for key in halves[0]}

    def several(x):
        on_cpu = tf.equal(tf.raw_ops.DeviceIndex(device_names=["CPU", "GPU"]), 0)
        is_split = tf.logical_and(on_cpu, tf.shape(x)[0] >= SMALLEST_SPLIT)
        return tf.cond(is_split, lambda: in_halves(x), lambda: whole(x))

    if not jit_compile:
        return several
    single = tf.function(whole, input_signature=[spec], autograph=False, jit_compile=True)
    return lambda x: tf.cond(tf.equal(tf.shape(x)[0], 1), lambda: single(x), lambda: several(x))
