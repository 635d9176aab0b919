"""Operations of tensors in PyTorch."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import torch
from keras import ops
from torch.nn import grad as weight_gradients

from keras_pdecnn.ops import affine, convolution, tv

activated = affine.activated_in_float32
convolve = convolution.convolve
tv_normalize = tv.tv_normalize
normalize_batch = compute_and_normalize = None
"""The batch normalisation of Keras calls the operation of PyTorch."""


def kernel_gradient(y, g, kernel_shape, padding: str = "same"):
    """Return the gradient of <K y, g> with respect to the kernel of K, see the TensorFlow backend."""
    *size, c, filters = kernel_shape
    if 0 in y.shape:
        return torch.zeros(tuple(kernel_shape), dtype=y.dtype, device=y.device)
    margins = [n // 2 for n in size]
    if padding == "periodic":
        y, margins = convolution.wrap(y, size), [0] * len(size)
    gradient = getattr(weight_gradients, f"conv{len(size)}d_weight")
    transposed = gradient(ops.moveaxis(y, -1, 1), (filters, c, *size), ops.moveaxis(g, -1, 1), padding=tuple(margins))
    return transposed.permute(*range(2, len(size) + 2), 1, 0)


def vjp(function: Callable, x) -> tuple[Any, Callable]:
    """Return function(x), and the function that pulls a cotangent of it back to x, to be called once.

    Both x and the value may be tuples of tensors.
    """
    with torch.enable_grad():
        x = _map(lambda tensor: tensor.detach().requires_grad_(), x)
        value = function(x)

    def pull_back(v):
        pairs = zip(_leaves(value), _leaves(v), strict=True)
        connected = [(tensor, w) for tensor, w in pairs if tensor.requires_grad]
        if not connected:
            return _map(torch.zeros_like, x)
        gradients = iter(
            torch.autograd.grad(
                [tensor for tensor, _ in connected],
                _leaves(x),
                [w for _, w in connected],
                allow_unused=True,
                materialize_grads=True,
            )
        )
        return _map(lambda _: next(gradients), x)

    return _map(torch.Tensor.detach, value), pull_back


def _map(function: Callable, x):
    """Return the function of a tensor, or of each tensor in nested tuples, which keras.tree does at a high cost."""
    return tuple(_map(function, part) for part in x) if isinstance(x, tuple | list) else function(x)


def _leaves(x) -> list:
    """Return the tensors in nested tuples in their order."""
    return [leaf for part in x for leaf in _leaves(part)] if isinstance(x, tuple | list) else [x]


def jvp(function: Callable, x, tangent) -> tuple[torch.Tensor, torch.Tensor]:
    """Return function(x), and its derivative in the direction of a tangent; x may be a tuple of tensors."""
    value, derivative = torch.func.jvp(function, (x,), (tangent,))[:2]
    return value, derivative


def jit(function: Callable, signature: tuple | None = None) -> Callable:
    """Return the function itself, without a record for gradients; `vjp` and `jvp` in it make one of their own."""
    del signature
    return torch.no_grad()(function)


def in_float64():
    """Return a context in which float64 is available: it always is."""
    return contextlib.nullcontext()


def concrete():
    """Return a context in which operations run at once and make no record for gradients."""
    return torch.no_grad()


def after(function: Callable, wait_for):
    """Return function(): operations run in the order in which they are called."""
    del wait_for
    return function()


def delayed(x, wait_for):
    """Return the tensor x: operations run in the order in which they are called."""
    del wait_for
    return x


def float32_product_roundoff() -> float:
    """Return the largest relative error of a factor in convolutions and matrix products of float32."""
    if torch.cuda.is_available() and (torch.backends.cudnn.allow_tf32 or torch.backends.cuda.matmul.allow_tf32):
        return 2.0**-10  # tensor cores round the factors to 11 bits
    return 2.0**-24


def for_loss(output, axis: int):
    """Return an output of a network in the layout that losses of classes ask for.

    PyTorch has a gradient of the negative log-likelihood of images only for logarithms that lie in memory channel by
    channel. Keras calculates them entry by entry, which keeps the layout of the output.

    Args:
        output: Output of a network; anything but a batch of images is returned as it is.
        axis: Axis of the channels.
    """
    if getattr(output, "ndim", 0) != 4:
        return output
    return output.movedim(axis, 1).contiguous().movedim(1, axis)


def activation(function: Callable) -> Callable:
    """Return an activation that keeps the type of its argument: the activation itself."""
    return function


def add(total, x):
    """Return total + x in the memory of the total."""
    return total.add_(x)
