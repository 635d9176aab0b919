"""Discrete energies, which the steps of linear hyperbolic networks conserve.

With the identity as activation, no normalisation, no bias and kernels that are constant in time, a step is linear and
conserves the energy, a quadratic form, up to rounding. Below the step size that is given with each energy, it is
positive and keeps K y bounded. Above that step size, some features grow exponentially. None of this is a guarantee for
the nonlinear, time-dependent network.
"""

from __future__ import annotations

from keras import ops

from keras_pdecnn.ops.convolution import adjoint_convolve, convolve


def verlet_energy(y, z, first, second, step_size: float, padding: str = "same"):
    """Return the energy that linear Verlet steps (eq. 10) with K1 and K2 constant in time conserve.

    E = <y, B y> + <z, A z> - h <y, B A z>,   A = K1^T K1, B = K2^T K2
      = ||K2 y||^2 + ||K1 z||^2 - h <K2 y, K2 K1^T K1 z>

    Linear means: the activation is the identity, and there is no normalisation and no bias. If h ||K2 K1^T|| < 2, the
    energy is positive unless K2 y and K1 z are 0.

    Args:
        y: First half of the channels of the features, shape (batch, *space, c).
        z: Second half of the channels, of the same shape.
        first: Kernel of K1, which drives y, shape (*kernel_size, c, filters): kernel[j, 0] of a `HamiltonianBlock`.
        second: Kernel of K2, which drives z, of the same shape: kernel[j, 1] of the block.
        step_size: Step size h.
        padding: Continuation of the features at the border, "same" (zeros, default) or "periodic".

    Returns:
        Tensor of shape (batch,).

    Example:
        >>> y, kernel = keras.ops.ones((1, 8, 8, 2)), keras.ops.ones((1, 1, 2, 2))
        >>> float(verlet_energy(y, 0 * y, kernel, kernel, step_size=0.1)[0])
        512.0
    """
    y = ops.convert_to_tensor(y)
    z, first, second = (ops.convert_to_tensor(value, y.dtype) for value in (z, first, second))
    p, q = convolve(z, first, padding), convolve(y, second, padding)
    coupled = convolve(adjoint_convolve(p, first, padding), second, padding)
    return _inner(q, q) + _inner(p, p) - step_size * _inner(q, coupled)


def leapfrog_energy(y, v, kernel, step_size: float, padding: str = "same"):
    """Return the energy that linear leapfrog steps (eq. 11) with K constant in time conserve.

    E = <v, v> / h^2 + <y, A y> - <y, A v>,   A = K^T K, v = y_j - y_{j-1}
      = ||v||^2 / h^2 + ||K y||^2 - <K y, K v>

      = ||v||^2 / h^2 + <K y_j, K y_{j-1}>

    v / h is the velocity. Linear means: the activation is the identity, and there is no normalisation and no bias. If
    h^2 ||K||^2 < 4, the energy is positive unless v and K y are 0.

    Args:
        y: Features y_j, shape (batch, *space, c).
        v: Last change of the features, of the same shape. `SecondOrderBlock.forward` returns y and v.
        kernel: Kernel of K, shape (*kernel_size, c, filters): kernel[j, 0] of a `SecondOrderBlock`.
        step_size: Step size h.
        padding: Continuation of the features at the border, "same" (zeros, default) or "periodic".

    Returns:
        Tensor of shape (batch,).

    Example:
        >>> y, kernel = keras.ops.ones((1, 8, 8, 2)), keras.ops.ones((1, 1, 2, 2))
        >>> float(leapfrog_energy(y, 0 * y, kernel, step_size=0.1)[0])
        512.0
    """
    y = ops.convert_to_tensor(y)
    v, kernel = (ops.convert_to_tensor(value, y.dtype) for value in (v, kernel))
    u = convolve(y, kernel, padding)
    return _inner(v, v) / step_size**2 + _inner(u, u) - _inner(u, convolve(v, kernel, padding))


def _inner(a, b):
    """Return the dot product of each pair of examples."""
    return ops.sum(a * b, axis=tuple(range(1, len(a.shape))))
