"""The normalisations N, one class each: value and gradient of sigma(N(u)), its Lipschitz constant, its weights.

    sigma(N(u)) = sigma(s u / sqrt(sum_c u_c^2 + epsilon) + b)      "tv" (eq. 9)
                  sigma(u + b)                                      None
                  sigma(max(s, 0) u + b)                            "scale"
                  p / sqrt(1 + sum_c p_c^2), p = sigma(u + b)       "shrinkage"

s is the scale and b the bias. "shrinkage" is the paper's normalisation with N and sigma exchanged and epsilon = 1. For
ReLU and the identity, it is the gradient of the convex function sqrt(1 + |sigma(u + b)|^2). So it is monotone, and its
Lipschitz constant is 1.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import keras
import numpy as np
from keras import backend, ops

from keras_pdecnn.ops import affine, exact
from keras_pdecnn.ops.backend import primitives
from keras_pdecnn.ops.tv import inverse_length, tv_normalize, tv_pull_back
from keras_pdecnn.utils import arguments


@dataclass(frozen=True)
class Normalization:
    """No normalisation, sigma(u + b), and the base class of the others."""

    has_scale = False
    is_provable = True  # u -> sigma(N(u)) is the gradient of a convex function, so the step limit is a theorem.
    activations: ClassVar[tuple[Callable, ...] | None] = None  # Activations that are accepted; None accepts all.
    scale_constraint: ClassVar[keras.constraints.Constraint | None] = None

    def value(self, u, scale, bias, activation: Callable, plain: bool = False):
        """Return sigma(N(u)).

        Args:
            u: Tensor of shape (batch, *space, filters).
            scale: Tensor of shape (filters,), or None.
            bias: Tensor of shape (filters,), or None.
            activation: Pointwise function sigma.
            plain: Whether the backend differentiates the result by itself; default False.
        """
        return _activated(plain)(activation, u, scale, bias)

    def normalized(self, u) -> tuple:
        """Return what `activate` and `pull_back` need of u: a tensor like it, and perhaps one number per pixel."""
        return (u,)

    def activate(self, normalized: tuple, scale, bias, activation: Callable):
        """Return sigma(N(u)) for normalized(u); the gradient with respect to u is that of `pull_back`."""
        return self.value(normalized[0], scale, bias, activation)

    def pull_back(self, normalized: tuple, v, scale, bias, activation: Callable):
        """Return a = sigma(N(u)), and the gradients of <a, v> with respect to u, scale and bias, for normalized(u).

        The gradient of a scale or bias that is missing is None.
        """
        a, pull_back = _activated_vjp(activation, normalized[0], scale, bias)
        return a, *pull_back(v)

    def lipschitz(self, constant: float) -> float:
        """Return the Lipschitz constant L that step limits take, together with the norm of `effective_kernel`.

        Args:
            constant: Lipschitz constant of the activation.
        """
        return constant

    def slope(self, theta) -> float | np.ndarray:
        """Return the factor by which N enlarges the Lipschitz constant: a number, or one per step and field."""
        return 1.0

    def effective_kernel(self, theta):
        """Return the kernel that takes the place of K in the bounds for a block without a normalisation."""
        return theta["kernel"]


@dataclass(frozen=True)
class TV(Normalization):
    """The paper's normalisation over the channels of each pixel (eq. 9), followed by a scale and a bias.

    Args:
        epsilon: Positive number that keeps the quotient smooth at 0; default 1e-3.
    """

    epsilon: float = 1e-3
    has_scale = True
    is_provable = False

    def value(self, u, scale, bias, activation: Callable, plain: bool = False):
        normalize = tv_normalize if plain else primitives.tv_normalize
        return _activated(plain)(activation, normalize(u, self.epsilon), scale, bias)

    def normalized(self, u) -> tuple:
        r = inverse_length(_widen(u), self.epsilon)
        return u * ops.cast(r, u.dtype), r

    def activate(self, normalized: tuple, scale, bias, activation: Callable):
        return primitives.activated(activation, normalized[0], scale, bias)

    def pull_back(self, normalized: tuple, v, scale, bias, activation: Callable):
        n, r = normalized
        a, of_n, *of_weights = super().pull_back((n,), v, scale, bias, activation)
        return a, ops.cast(tv_pull_back(n, of_n, r), v.dtype), *of_weights

    def slope(self, theta) -> float | np.ndarray:
        return np.abs(ops.convert_to_numpy(theta["scale"]).astype(np.float64)).max(axis=-1) / math.sqrt(self.epsilon)


@dataclass(frozen=True)
class Scale(Normalization):
    """One non-negative factor per filter: sigma(max(s, 0) u + b)."""

    has_scale = True
    # A negative scale would act as 0 and have no gradient, so it could never become positive again.
    scale_constraint = keras.constraints.NonNeg()

    def value(self, u, scale, bias, activation: Callable, plain: bool = False):
        return super().value(u, _positive_part(scale), bias, activation, plain)

    def pull_back(self, normalized: tuple, v, scale, bias, activation: Callable):
        a, d, of_scale, of_bias = super().pull_back(normalized, v, _positive_part(scale), bias, activation)
        if scale is not None:
            of_scale = ops.cast(scale >= 0, of_scale.dtype) * of_scale
        return a, d, of_scale, of_bias

    def effective_kernel(self, theta):
        """Return the kernel of S^(1/2) K, with S = max(scale, 0).

        Its norm bounds K^T sigma(S K y + b) as the norm of K does without a scale: for a non-decreasing, L-Lipschitz
        sigma, the norm of the symmetric matrix K^T D S K with 0 <= D <= L is at most L ||S^(1/2) K||^2. If a right-hand
        side has two kernels, K1 and K2, both get the factor S^(1/2).
        """
        kernel, scale = theta["kernel"], theta["scale"]
        # A scale of 0 is rounded up, so that the root has a finite derivative.
        root = exact.sqrt(exact.maximum(scale, 1e-12))
        if kernel.shape[1] != root.shape[1]:
            root = ops.repeat(root, kernel.shape[1] // root.shape[1], axis=1)
        return kernel * ops.reshape(root, (*root.shape[:2], *[1] * (len(kernel.shape) - 3), root.shape[-1]))


@dataclass(frozen=True)
class Shrinkage(Normalization):
    """Division of the activations of each pixel by the length of their vector: p / sqrt(1 + sum_c p_c^2).

    Here p = sigma(u + b). The only activations are ReLU and the identity.
    """

    activations = (keras.activations.relu, keras.activations.linear)

    def value(self, u, scale, bias, activation: Callable, plain: bool = False):
        p = super().value(u, scale, bias, activation, plain)
        return tv_normalize(p, 1.0) if plain else primitives.tv_normalize(p, 1.0)

    def pull_back(self, normalized: tuple, v, scale, bias, activation: Callable):
        p, pull_back = _activated_vjp(activation, normalized[0], scale, bias)
        r = inverse_length(_widen(p), 1.0)
        n = p * ops.cast(r, p.dtype)
        return n, *pull_back(ops.cast(tv_pull_back(n, v, r), p.dtype))

    def lipschitz(self, constant: float) -> float:
        """Return 1, which holds for both activations."""
        return 1.0


NORMALIZATIONS = ("tv", None, "scale", "shrinkage")
"""The names that users type."""


def normalization(name: str | None, epsilon: float = 1e-3) -> Normalization:
    """Return the normalisation of a name.

    Args:
        name: Name of the normalisation, "tv", None, "scale" or "shrinkage".
        epsilon: Positive number that smooths "tv"; default 1e-3.

    Raises:
        ValueError: If the name is none of these.
    """
    arguments.check_choice("normalization", name, NORMALIZATIONS)
    if name == "tv":
        return TV(epsilon)
    return {None: Normalization, "scale": Scale, "shrinkage": Shrinkage}[name]()


def _positive_part(scale):
    # Not a maximum: its derivative at 0 differs between backends.
    return None if scale is None else scale * ops.cast(scale >= 0, scale.dtype)


def _activated(plain: bool) -> Callable:
    """Return the function `affine.activated`, in operations that can be exported or in those of the backend."""
    return affine.activated if plain else primitives.activated


def _activated_vjp(activation: Callable, u, scale, bias) -> tuple:
    """Return a = activation(scale * u + bias), and the function that pulls a cotangent back to u, scale and bias.

    The gradient of a scale or bias that is missing is None; the others are at least float32, as half precision does not
    hold sums over many pixels.
    """
    weights = {name: _widen(weight) for name, weight in (("scale", scale), ("bias", bias)) if weight is not None}

    def function(tensors):
        u, *values = tensors
        return primitives.activated(activation, u, **dict(zip(weights, values, strict=True)))

    a, pull_back = primitives.vjp(function, (u, *weights.values()))

    def pull_back_all(v):
        of_u, *of_weights = pull_back(v)
        gradients = dict(zip(weights, of_weights, strict=True))
        return of_u, gradients.get("scale"), gradients.get("bias")

    return a, pull_back_all


def _widen(u):
    """Return u, converted from half precision, whose squares overflow, to float32."""
    return ops.cast(u, "float32") if backend.standardize_dtype(u.dtype) in ("float16", "bfloat16") else u
