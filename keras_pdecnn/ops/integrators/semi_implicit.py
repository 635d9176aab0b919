"""Semi-implicit diffusion: a step of any size is stable, as part of the equation is solved for the new features."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from keras import ops

from keras_pdecnn.ops import exact
from keras_pdecnn.ops.integrators.forward_euler import forward_euler
from keras_pdecnn.ops.integrators.integrator import Integrator
from keras_pdecnn.ops.integrators.update import StateUpdate


@dataclass(frozen=True)
class SemiImplicitUpdate(StateUpdate):
    """The update y += (I + h K^T K)^-1 h F_sym(theta, y), with K the kernel of F_sym.

    For the identity as activation and without normalisation and bias, y' = (I + h K^T K)^-1 y. The equation is solved
    for each frequency by itself, so the padding must be periodic.

    Example:
        >>> SemiImplicitUpdate().is_invertible
        False
    """

    target: int = 0
    source: int = 0
    field: int = 0

    def check_field(self, field):
        """Refuse other paddings than "periodic", and the general layer."""
        if field.padding != "periodic" or not field.symmetric:
            layer = "symmetric" if field.symmetric else "general"
            raise ValueError(
                "Semi-implicit steps need the symmetric layer and padding='periodic'. "
                f"Received: the {layer} layer, padding={field.padding!r}"
            )

    def increment(self, F: Any, h, x, j=0):
        """Return (I + h K^T K)^-1 h F(x), see `StateUpdate`."""
        del j
        kernel = ops.cast(F.theta["kernel"][self.field], x.dtype)
        return solve_diffusion(kernel, h, F(self.field, x, h))


def solve_diffusion(kernel, h, right):
    """Return (I + h K^T K)^-1 applied to features, for a periodic K.

    Args:
        kernel: Kernel of K, a tensor of shape (*kernel_size, c, filters).
        h: Step size, not negative.
        right: Features, shape (batch, *space, c).

    Returns:
        Tensor of the shape of the features.

    Example:
        >>> solve_diffusion(keras.ops.zeros((3, 1, 1)), 0.5, keras.ops.ones((1, 4, 1)))[0, :, 0].numpy().tolist()
        [1.0, 1.0, 1.0, 1.0]
    """
    rank, c = len(kernel.shape) - 2, kernel.shape[-2]
    shape = ops.shape(right)
    space = shape[1:-1]
    re, im = _symbol(kernel, space, right.dtype)
    re_t, im_t = (ops.swapaxes(part, -1, -2) for part in (re, im))
    real = exact.matmul(re, re_t) + exact.matmul(im, im_t)
    imaginary = exact.matmul(re, im_t) - exact.matmul(im, re_t)
    unit = ops.eye(c, dtype=right.dtype)
    rows = [[unit + h * real, -h * imaginary], [h * imaginary, unit + h * real]]
    matrix = ops.concatenate([ops.concatenate(row, axis=-1) for row in rows], axis=-2)
    y = ops.moveaxis(right, -1, 1)
    parts = _fourier((y, ops.zeros_like(y)), rank)
    # One system for each frequency, with the examples as right-hand sides.
    flat = [ops.transpose(ops.reshape(part, (shape[0], c, -1)), (2, 1, 0)) for part in parts]
    solved = ops.solve(matrix, ops.concatenate(flat, axis=1))
    halves = ops.split(ops.transpose(solved, (2, 1, 0)), 2, axis=1)
    re, im = (ops.reshape(half, (shape[0], c, *space)) for half in halves)
    # The inverse transform is the conjugate of the transform of the conjugate, divided by the number of pixels.
    count = ops.cast(ops.prod(ops.convert_to_tensor(space)), right.dtype)
    return ops.moveaxis(_fourier((re, -im), rank)[0] / count, 1, -1)


def _symbol(kernel, space, dtype) -> tuple:
    """Return real and imaginary part of sum_j K_j exp(i w j) at all frequencies w, shape (pixels, c, filters)."""
    size, rank = kernel.shape[:-2], len(kernel.shape) - 2
    phase = ops.zeros((1, 1), dtype)
    for axis, n in enumerate(space):
        frequencies = ops.cast(ops.arange(n), dtype) * (2 * np.pi / ops.cast(n, dtype))
        offsets = np.arange(size[axis]) - size[axis] // 2
        of_axis = frequencies[:, None] * ops.convert_to_tensor(offsets, dtype=dtype)
        phase = ops.reshape(phase[:, None, :, None] + of_axis[None, :, None, :], (-1, phase.shape[1] * size[axis]))
    flat = ops.reshape(kernel, (-1, *kernel.shape[rank:]))
    return exact.tensordot(ops.cos(phase), flat, axes=1), exact.tensordot(ops.sin(phase), flat, axes=1)


def _fourier(parts: tuple, rank: int) -> tuple:
    """Return real and imaginary part of the Fourier transform over the last `rank` axes."""
    if rank == 1:
        return ops.fft(parts)
    parts = ops.fft2(parts)
    if rank == 3:
        parts = ops.fft(tuple(ops.moveaxis(part, -3, -1) for part in parts))
        parts = tuple(ops.moveaxis(part, -1, -3) for part in parts)
    return parts


semi_implicit = Integrator(
    name="semi-implicit diffusion",
    fields=1,
    updates=(SemiImplicitUpdate(),),
    start=forward_euler.start,
    finish=forward_euler.finish,
)
