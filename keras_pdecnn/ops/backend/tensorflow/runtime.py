"""Devices, determinism and compiled gradients of TensorFlow."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf


def gpus() -> list[str]:
    """Return the names of the GPUs."""
    devices = tf.config.list_physical_devices("GPU")
    return [tf.config.experimental.get_device_details(gpu).get("device_name", gpu.name) for gpu in devices]


def has_accelerator() -> bool:
    """Return whether there is a device that is not the CPU."""
    return any(device.device_type != "CPU" for device in tf.config.list_physical_devices())


def reset_peak_memory() -> int:
    """Let the peak memory of the first GPU start anew, and return its memory in use, in bytes."""
    tf.config.experimental.reset_memory_stats("GPU:0")
    return tf.config.experimental.get_memory_info("GPU:0")["current"]


def peak_memory() -> int:
    """Return the peak memory of the first GPU in bytes."""
    return tf.config.experimental.get_memory_info("GPU:0")["peak"]


def make_deterministic():
    """Make operations give the same numbers in every run."""
    tf.config.experimental.enable_op_determinism()


def layer_gradient(layer, jit_compile: bool = False) -> Callable:
    """Return the compiled function (y, w) -> the gradients of <w, layer(y)> by y and by the trainable weights.

    Args:
        layer: A Keras layer that has been built.
        jit_compile: Whether XLA compiles the function; default False.
    """

    @tf.function(jit_compile=jit_compile, autograph=False)
    def differentiate(y, w):
        with tf.GradientTape() as tape:
            tape.watch(y)
            loss = tf.reduce_sum(layer(y) * w)
        return tape.gradient(loss, [y, *(weight.value for weight in layer.trainable_weights)])

    return differentiate


def wait(tensors):
    """Wait until tensors have been computed."""
    tensors[0].numpy()
