"""How a SavedModel computes a batch: none or a few examples, a single one, and larger batches in two halves."""

from __future__ import annotations

from collections.abc import Callable

_SMALLEST_SPLIT = 4  # examples: smaller batches are not split


def never_empty(call: Callable) -> Callable:
    """Return a function of TensorFlow that gives a batch without examples one of zeros, and cuts off its outputs.

    oneDNN gives empty batches the wrong shape, and JAX refuses them.

    Args:
        call: Function of TensorFlow of examples to a dict of tensors.
    """
    import tensorflow as tf

    def filled(x):
        n = tf.shape(x)[0]
        x = tf.pad(x, [[0, tf.maximum(1 - n, 0)], *[[0, 0]] * (len(x.shape) - 1)])
        return {key: y[:n] for key, y in call(x).items()}

    return filled


def by_size(whole: Callable, single: Callable | None = None) -> Callable:
    """Return a function of TensorFlow with the outputs of another one, which it calls as suits the size of the batch.

    TensorFlow's threads wait for each other after every convolution. Two independent halves fill each other's gaps:
    with two threads, batches of 8 and more take some 12 % less time, and batches of 2 take more. A GPU gets the whole
    batch. The function itself, with its weights, is only once in the file.

    Args:
        whole: Function of TensorFlow, traced already, of examples to a dict of tensors; no example depends on the
            others.
        single: The same for one example; default None, `whole`.
    """
    import tensorflow as tf

    few = never_empty(whole)

    def in_halves(x):
        middle = tf.shape(x)[0] // 2
        halves = whole(x[:middle]), whole(x[middle:])
        return {key: tf.concat([half[key] for half in halves], axis=0) for key in halves[0]}

    def several(x):
        on_cpu = tf.equal(tf.raw_ops.DeviceIndex(device_names=["CPU", "GPU"]), 0)
        is_split = tf.logical_and(on_cpu, tf.shape(x)[0] >= _SMALLEST_SPLIT)
        return tf.cond(is_split, lambda: in_halves(x), lambda: few(x))

    if single is None:
        return several
    return lambda x: tf.cond(tf.equal(tf.shape(x)[0], 1), lambda: single(x), lambda: several(x))
