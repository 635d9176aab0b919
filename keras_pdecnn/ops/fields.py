"""The right-hand sides F(theta, y) of the differential equations: the general and the symmetric layer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import keras
from keras import backend, ops

from keras_pdecnn.ops import convolution, gradients
from keras_pdecnn.ops.convolution import adjoint_kernel
from keras_pdecnn.ops.normalization import tv_normalize

NORMALIZATIONS = ("tv", None, "scale", "shrinkage")
"""N by name: the paper's, the identity, s u with s >= 0, and the shrinkage of activations."""

SCALED = ("tv", "scale")
"""Those with a scale among their weights."""

SHRINKABLE = (keras.activations.relu, keras.activations.linear)
"""The activations that "shrinkage" is defined for."""


def general_layer(
    y,
    inner,
    outer,
    scale=None,
    bias=None,
    *,
    activation: Callable,
    normalization: str | None = "tv",
    epsilon: float = 1e-3,
    padding: str = "same",
    plain: bool = False,
):
    """Evaluate the layer F(theta, y) = K2 sigma(N(K1 y)) (eq. 1).

    sigma(N(u)) = sigma(s u / sqrt(sum_c u_c^2 + epsilon) + b)      "tv" (eq. 9)
                  sigma(u + b)                                      None
                  sigma(max(s, 0) u + b)                            "scale"
                  p / sqrt(1 + sum_c p_c^2), p = sigma(u + b)       "shrinkage"

    The last is the paper's with N and sigma exchanged and epsilon = 1. For ReLU and the identity it is the gradient of
    the convex function sqrt(1 + |sigma(u + b)|^2), so monotone, and its Lipschitz constant is 1.

    Args:
        y: Tensor of shape (batch, *space, c).
        inner: Kernel of K1, shape (*kernel_size, c, filters).
        outer: Kernel of K2, shape (*kernel_size, filters, c).
        scale: Tensor of shape (filters,), s above; default None, 1.
        bias: Tensor of shape (filters,), b above; default None, 0.
        activation: Pointwise function sigma.
        normalization: "tv" (default), None, "scale" or "shrinkage", as above.
        epsilon: Smoothing of "tv"; default 1e-3.
        padding: "same" (zeros, default) or "periodic".
        plain: Whether the gradient is left to TensorFlow, which can export it; it is slower and takes more memory.
            Default False.

    Returns:
        Tensor of the shape of y.

    Example:
        >>> y, inner, outer = (keras.ops.ones(shape) for shape in ((1, 8, 8, 4), (3, 3, 4, 6), (3, 3, 6, 4)))
        >>> general_layer(y, inner, outer, activation=keras.activations.relu).shape
        TensorShape([1, 8, 8, 4])
    """
    convolve = convolution.convolve if plain else gradients.convolve
    u = convolve(y, inner, padding)
    if normalization == "tv" and not plain:
        u = gradients.tv_normalize(u, scale, bias, epsilon)
    else:
        u = tv_normalize(u, epsilon) if normalization == "tv" else u
        scale = ops.maximum(scale, 0) if normalization == "scale" else scale
        u = u if scale is None else u * scale
        u = u if bias is None else u + bias
    a = activation(u)
    if normalization == "shrinkage":
        a = tv_normalize(a, 1.0) if plain else gradients.tv_normalize(a, epsilon=1.0)
    return convolve(a, outer, padding)


def symmetric_layer(y, kernel, scale=None, bias=None, **settings):
    """Evaluate the symmetric layer F_sym(theta, y) = -K^T sigma(N(K y)) (eq. 7).

    Args:
        y: Tensor of shape (batch, *space, c).
        kernel: Kernel of K, shape (*kernel_size, c, filters).
        scale: Tensor of shape (filters,); default None.
        bias: Tensor of shape (filters,); default None.
        **settings: activation, normalization, epsilon, padding and plain of `general_layer`.

    Returns:
        Tensor of the shape of y.

    Example:
        >>> y, kernel = keras.ops.ones((1, 8, 8, 4)), keras.ops.ones((3, 3, 4, 6))
        >>> symmetric_layer(y, kernel, activation=keras.activations.relu).shape
        TensorShape([1, 8, 8, 4])
    """
    return general_layer(y, kernel, -adjoint_kernel(kernel), scale, bias, **settings)


@dataclass(frozen=True)
class Field:
    """The right-hand side of a block: everything about F but its weights.

    The weights theta of one time are a dict with `kernel` (fields, *kernel_size, c, filters) and, where they exist,
    `scale` and `bias` (fields, filters).

    Attributes:
        activation: Pointwise function sigma.
        normalization: "tv" (default), None, "scale" or "shrinkage", see `general_layer`.
        epsilon: Smoothing of "tv"; default 1e-3.
        padding: "same" (default) or "periodic".
        symmetric: True (default) for F_sym with one kernel per field (eq. 7); False for the general layer (eq. 1) with,
            for field i, K1 = kernel[2 i] and K2 = kernel[2 i + 1]^T.
        compute_dtype: Type that F is evaluated in; default None, the type of the state.
        plain: Whether the gradient is left to TensorFlow, see `general_layer`; default False.

    Example:
        >>> theta = {"kernel": keras.ops.ones((1, 3, 3, 4, 8))}
        >>> Field(keras.activations.relu)(theta, 0, keras.ops.ones((1, 8, 8, 4))).shape
        TensorShape([1, 8, 8, 4])
    """

    activation: Callable
    normalization: str | None = "tv"
    epsilon: float = 1e-3
    padding: str = "same"
    symmetric: bool = True
    compute_dtype: str | None = None
    plain: bool = False

    def kernel_indices(self, index: int) -> tuple[int, int]:
        """Return which kernels are K1 and K2^T of the field with this index."""
        return (index, index) if self.symmetric else (2 * index, 2 * index + 1)

    @property
    def sign(self) -> int:
        """Sign of K2 in F: -1 for F_sym = -K^T sigma(N(K y))."""
        return -1 if self.symmetric else 1

    def bind(self, theta: dict) -> Callable:
        """Return F(index, y, factor=1.0), which is factor * F(theta_index, y), for the weights of one time."""
        theta = {name: ops.unstack(weight) for name, weight in theta.items()}
        return lambda index, y, factor=1.0: self(theta, index, y, factor)

    def __call__(self, theta, index: int, y, factor=1.0):
        """Return factor * F(theta, y) in the type of y, for the field with this index."""
        state_dtype = backend.standardize_dtype(y.dtype)
        dtype = self.compute_dtype or state_dtype
        inner, outer = (theta["kernel"][i] for i in self.kernel_indices(index))
        outer = self.sign * adjoint_kernel(outer)
        if dtype == state_dtype:
            # Scaling the small kernel saves a pass over the features.
            outer, factor = outer * factor, None
        increment = general_layer(
            ops.cast(y, dtype),
            ops.cast(inner, dtype),
            ops.cast(outer, dtype),
            *(ops.cast(theta[name][index], dtype) if name in theta else None for name in ("scale", "bias")),
            activation=self.activation,
            normalization=self.normalization,
            epsilon=self.epsilon,
            padding=self.padding,
            plain=self.plain,
        )
        increment = ops.cast(increment, state_dtype)
        return increment if factor is None else increment * factor
