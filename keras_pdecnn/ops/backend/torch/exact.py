"""Operations of PyTorch with the arguments of `keras.ops`, which keep float64."""

from __future__ import annotations

import torch

matmul = torch.matmul
sqrt = torch.sqrt


def maximum(x, y):
    """Return the larger of two numbers, entry by entry."""
    return torch.maximum(*_like(x, y))


def minimum(x, y):
    """Return the smaller of two numbers, entry by entry."""
    return torch.minimum(*_like(x, y))


def where(condition, x, y):
    """Return x where the condition holds, y elsewhere."""
    return torch.where(condition, *_like(x, y))


def mean(x, axis=None, keepdims=False):
    """Return the mean over some axes, by default all."""
    return torch.mean(x, dim=tuple(range(x.ndim)) if axis is None else axis, keepdim=keepdims)


def tensordot(x, y, axes=2):
    """Return the sum of products over the last axes of x and the first ones of y."""
    return torch.tensordot(x, y, dims=axes)


def _like(x, y) -> tuple:
    """Return both as tensors, a number in the type of the tensor beside it."""
    like = x if isinstance(x, torch.Tensor) else y
    if not isinstance(like, torch.Tensor):
        return torch.as_tensor(x), torch.as_tensor(y)
    return tuple(
        v if isinstance(v, torch.Tensor) else torch.as_tensor(v, dtype=like.dtype, device=like.device) for v in (x, y)
    )
