"""Nonlinear energies: what parabolic steps let fall, and what hyperbolic steps nearly conserve over long times.

With sigma = phi', F_sym(theta, y) = -K^T sigma(K y + b) is minus the gradient of V(y) = sum phi(K y + b). So parabolic
networks are gradient flows, and hyperbolic networks with kernels that are constant in time are Hamiltonian systems.
"""

from __future__ import annotations

from collections.abc import Callable

import keras
from keras import ops

from keras_pdecnn.ops.convolution import adjoint_convolve, convolve
from keras_pdecnn.utils.arguments import describe


def _log_cosh(u):
    return ops.abs(u) + ops.softplus(-2 * ops.abs(u)) - 0.6931471805599453


def _elu(u):
    negative = ops.minimum(u, 0)
    return 0.5 * ops.square(ops.relu(u)) + ops.expm1(negative) - negative


def _hard_tanh(u):
    size = ops.abs(u)
    return ops.where(size <= 1, 0.5 * ops.square(u), size - 0.5)


ANTIDERIVATIVES: dict[Callable, Callable] = {
    keras.activations.linear: lambda u: 0.5 * ops.square(u),
    keras.activations.relu: lambda u: 0.5 * ops.square(ops.relu(u)),
    keras.activations.tanh: _log_cosh,
    keras.activations.sigmoid: ops.softplus,
    keras.activations.elu: _elu,
    keras.activations.hard_tanh: _hard_tanh,
    keras.activations.softsign: lambda u: ops.abs(u) - ops.log1p(ops.abs(u)),
}
"""Functions phi with phi' = sigma, convex as sigma is non-decreasing."""


def potential(y, kernel, bias=None, activation: str | Callable = "relu", padding: str = "same"):
    """Return the potential V(y) = sum phi(K y + b), phi' = sigma, whose gradient is K^T sigma(K y + b) = -F_sym.

    V is convex. A step of a `ParabolicBlock` without normalisation lets it fall unless F_sym = 0, for step sizes below
    2 / (L ||K||^2): V(y') <= V(y) - h (1 - h L ||K||^2 / 2) ||F_sym||^2. With kernels that change in time, this holds
    for the potential of the step.

    Args:
        y: Features, shape (batch, *space, c).
        kernel: Kernel of K, shape (*kernel_size, c, filters): `block.theta()["kernel"][j, 0]`.
        bias: Bias b, shape (filters,); default None, which means 0.
        activation: Function sigma, one of `ANTIDERIVATIVES`, or its name; default "relu".
        padding: Continuation of the features at the border, "same" (zeros, default) or "periodic".

    Returns:
        Tensor of shape (batch,).

    Raises:
        ValueError: If no antiderivative of the activation is known.

    Example:
        >>> y, kernel = keras.ops.ones((1, 8, 8, 2)), keras.ops.ones((1, 1, 2, 2))
        >>> float(potential(y, kernel)[0])
        256.0
    """
    u, _ = _inner(y, kernel, bias, padding)
    phi = _antiderivative(activation)
    return ops.sum(phi(u), axis=tuple(range(1, len(u.shape))))


def verlet_hamiltonian(
    y,
    z,
    first,
    second,
    first_bias=None,
    second_bias=None,
    activation: str | Callable = "relu",
    step_size: float = 0.0,
    padding: str = "same",
):
    """Return the energy H of a Hamiltonian network, or with a step size what its Verlet steps conserve to order 2.

    H(y, z) = V2(y) + V1(z),   V_i(u) = sum phi(K_i u + b_i),   y' = -grad V1(z), z' = grad V2(y)
    H_h(y, z) = H(y, z) - h / 2 <grad V2(y), grad V1(z)>

    For kernels that are constant in time and no normalisation. Verlet steps (eq. 10) are symplectic: they conserve
    H + O(h) and, for smooth activations, H_h + O(h^2), over times that grow exponentially in 1 / h as long as the
    features stay bounded. For the identity, 2 H_h is `verlet_energy`, which is conserved exactly.

    Args:
        y: First half of the channels of the features, shape (batch, *space, c).
        z: Second half of the channels, of the same shape.
        first: Kernel of K1, which drives y, shape (*kernel_size, c, filters).
        second: Kernel of K2, which drives z, of the same shape.
        first_bias: Bias b1, shape (filters,); default None, which means 0.
        second_bias: Bias b2; default None, which means 0.
        activation: Function sigma, one of `ANTIDERIVATIVES`, or its name; default "relu".
        step_size: Step size h of H_h; default 0, for H.
        padding: Continuation of the features at the border, "same" (zeros, default) or "periodic".

    Returns:
        Tensor of shape (batch,).

    Raises:
        ValueError: If no antiderivative of the activation is known.

    Example:
        >>> y, kernel = keras.ops.ones((1, 8, 8, 2)), keras.ops.ones((1, 1, 2, 2))
        >>> float(verlet_hamiltonian(y, y, kernel, kernel)[0])
        512.0
    """
    energy = potential(y, second, second_bias, activation, padding) + potential(
        z, first, first_bias, activation, padding
    )
    if not step_size:
        return energy
    of_y = _gradient(y, second, second_bias, activation, padding)
    return energy - 0.5 * step_size * _dot(of_y, _gradient(z, first, first_bias, activation, padding))


def leapfrog_hamiltonian(
    y,
    v,
    kernel,
    bias=None,
    activation: str | Callable = "relu",
    step_size: float = 1.0,
    padding: str = "same",
    modified: bool = True,
):
    """Return the energy of a second-order network, kinetic and potential, or what its leapfrog steps nearly conserve.

    H(y, p) = 1/2 ||p||^2 + V(y),   V(y) = sum phi(K y + b), p = v / h, v = y_j - y_{j-1}
    H_h(y, p) = H(y, p) - h / 2 <grad V(y), p>

    As for `verlet_hamiltonian`: for kernels that are constant in time, H is conserved to the order h and H_h, for
    smooth activations, to the order h^2. For the identity, 2 H_h is `leapfrog_energy`.

    Args:
        y: Features y_j, shape (batch, *space, c).
        v: Last change of the features, of the same shape.
        kernel: Kernel of K, shape (*kernel_size, c, filters).
        bias: Bias b, shape (filters,); default None, which means 0.
        activation: Function sigma, one of `ANTIDERIVATIVES`, or its name; default "relu".
        step_size: Step size h; default 1.
        padding: Continuation of the features at the border, "same" (zeros, default) or "periodic".
        modified: Whether to return H_h instead of H; default True.

    Returns:
        Tensor of shape (batch,).

    Raises:
        ValueError: If no antiderivative of the activation is known.

    Example:
        >>> y, kernel = keras.ops.ones((1, 8, 8, 2)), keras.ops.ones((1, 1, 2, 2))
        >>> float(leapfrog_hamiltonian(y, 0 * y, kernel)[0])
        256.0
    """
    y = ops.convert_to_tensor(y)
    v = ops.convert_to_tensor(v, y.dtype)
    energy = 0.5 * _dot(v, v) / step_size**2 + potential(y, kernel, bias, activation, padding)
    if not modified:
        return energy
    return energy - 0.5 * _dot(_gradient(y, kernel, bias, activation, padding), v)


def _inner(y, kernel, bias, padding: str) -> tuple:
    """Return K y + b, and the kernel as a tensor."""
    y = ops.convert_to_tensor(y)
    kernel = ops.convert_to_tensor(kernel, y.dtype)
    u = convolve(y, kernel, padding)
    return (u if bias is None else u + ops.convert_to_tensor(bias, y.dtype)), kernel


def _gradient(y, kernel, bias, activation, padding: str):
    u, kernel = _inner(y, kernel, bias, padding)
    return adjoint_convolve(keras.activations.get(activation)(u), kernel, padding)


def _antiderivative(activation: str | Callable) -> Callable:
    function = keras.activations.get(activation)
    for known, phi in ANTIDERIVATIVES.items():
        if function is known:
            return phi
    names = ", ".join(known.__name__ for known in ANTIDERIVATIVES)
    raise ValueError(f"activation must be one of {names}. Received: activation={describe(activation)}")


def _dot(a, b):
    return ops.sum(a * b, axis=tuple(range(1, len(a.shape))))
