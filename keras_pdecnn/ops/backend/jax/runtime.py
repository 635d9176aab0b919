"""Devices, determinism and compiled gradients of JAX."""

from __future__ import annotations

from collections.abc import Callable

import jax


def gpus() -> list[str]:
    """Return the names of the GPUs."""
    return [device.device_kind for device in jax.local_devices()] if has_accelerator() else []


def has_accelerator() -> bool:
    """Return whether there is a device that is not the CPU."""
    return jax.default_backend() != "cpu"


def reset_peak_memory() -> int:
    """Return the memory in use of the first GPU in bytes; JAX cannot let the peak start anew."""
    return (jax.local_devices()[0].memory_stats() or {}).get("bytes_in_use", 0)


def peak_memory() -> int:
    """Return the peak memory of the first GPU in bytes, since the start of the process."""
    return (jax.local_devices()[0].memory_stats() or {}).get("peak_bytes_in_use", 0)


def make_deterministic():
    """Make operations give the same numbers in every run, as they do on the CPU.

    On a GPU, XLA reads this before the program starts: XLA_FLAGS=--xla_gpu_deterministic_ops=true.
    """


def layer_gradient(layer, jit_compile: bool = True) -> Callable:
    """Return the compiled function (y, w) -> the gradients of <w, layer(y)> by y and by the trainable weights.

    Args:
        layer: A Keras layer that has been built.
        jit_compile: Has no effect: XLA compiles the function in any case.
    """
    del jit_compile

    @jax.jit
    def differentiate(y, w, trainable, others):
        def loss(y, trainable):
            outputs, _ = layer.stateless_call(trainable, others, y)
            return (outputs * w).sum()

        of_y, of_weights = jax.grad(loss, (0, 1))(y, trainable)
        return [of_y, *of_weights]

    def gradient(y, w):
        groups = layer.trainable_variables, layer.non_trainable_variables
        return differentiate(y, w, *([variable.value for variable in group] for group in groups))

    return gradient


def wait(tensors):
    """Wait until tensors have been computed."""
    jax.block_until_ready(tensors)
