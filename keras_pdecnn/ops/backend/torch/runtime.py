"""Devices, determinism and gradients of PyTorch."""

from __future__ import annotations

import os
from collections.abc import Callable

import torch


def gpus() -> list[str]:
    """Return the names of the GPUs."""
    return [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]


def has_accelerator() -> bool:
    """Return whether there is a device that is not the CPU."""
    return torch.cuda.is_available() or torch.backends.mps.is_available()


def reset_peak_memory() -> int:
    """Let the peak memory of the first GPU start anew, and return its memory in use, in bytes."""
    torch.cuda.reset_peak_memory_stats()
    return torch.cuda.memory_allocated()


def peak_memory() -> int:
    """Return the peak memory of the first GPU in bytes."""
    return torch.cuda.max_memory_allocated()


def make_deterministic():
    """Make operations give the same numbers in every run; those that cannot warn."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True, warn_only=True)


def layer_gradient(layer, jit_compile: bool = False) -> Callable:
    """Return the function (y, w) -> the gradients of <w, layer(y)> by y and by the trainable weights.

    Args:
        layer: A Keras layer that has been built.
        jit_compile: Has no effect: operations run one by one.
    """
    del jit_compile

    def differentiate(y, w):
        y = y.detach().requires_grad_()
        loss = (layer(y) * w).sum()
        return list(torch.autograd.grad(loss, [y, *(weight.value for weight in layer.trainable_variables)]))

    return differentiate


def wait(tensors):
    """Wait until tensors have been computed."""
    if tensors[0].is_cuda:
        torch.cuda.synchronize()
