"""How large a step may be by the theory of its integrator, from norms of its kernels and its activation."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from keras_pdecnn.ops.fields import Field
from keras_pdecnn.ops.integrators import Integrator
from keras_pdecnn.ops.norms import norm_bound

Norms = TypeVar("Norms", np.ndarray, tf.Tensor)

LIPSCHITZ: dict[Callable, float] = {
    keras.activations.linear: 1.0,
    keras.activations.relu: 1.0,
    keras.activations.relu6: 1.0,
    keras.activations.leaky_relu: 1.0,
    keras.activations.elu: 1.0,
    keras.activations.celu: 1.0,
    keras.activations.selu: 1.7581,  # 1.67326… * 1.05070…, rounded up
    keras.activations.softplus: 1.0,
    keras.activations.softsign: 1.0,
    keras.activations.soft_shrink: 1.0,
    keras.activations.tanh: 1.0,
    keras.activations.hard_tanh: 1.0,
    keras.activations.sigmoid: 1 / 4,
    keras.activations.hard_sigmoid: 1 / 6,
    keras.activations.log_sigmoid: 1.0,
}
"""Lipschitz constants L of non-decreasing activations with their default arguments, the only ones the theory covers."""

PROVABLE = (None, "scale", "shrinkage")
"""The normalisations with which u -> sigma(N(u)) is the gradient of a convex function, so that there is a theorem."""

SAFETY = 0.9
"""The part of the limit that an automatic step takes."""


def lipschitz(activation: Callable, normalization: str | None = None) -> float:
    """Return the Lipschitz constant L of u -> sigma(N(u)), for a kernel as `effective_kernel` returns it.

    "shrinkage" has 1, whatever its activation may be; the others have that of the activation. "tv" is taken for None:
    the number is not its Lipschitz constant.

    Raises:
        ValueError: If the activation is not in `LIPSCHITZ`.
    """
    # Layers and partial functions are objects that cannot be told apart by identity.
    for function, constant in LIPSCHITZ.items():
        if activation is function:
            return 1.0 if normalization == "shrinkage" else constant
    known = ", ".join(function.__name__ for function in LIPSCHITZ)
    name = getattr(activation, "__name__", repr(activation))
    raise ValueError(f"the activation must be one of the non-decreasing functions {known}. Received: activation={name}")


def effective_kernel(theta: dict, normalization: str | None = None) -> tf.Tensor:
    """Return the kernel of S^(1/2) K for "scale" with S = max(scale, 0), otherwise that of K.

    With it, K^T sigma(S K y + b) is bounded as without a scale: for a non-decreasing, L-Lipschitz sigma, the symmetric
    matrix K^T D S K, 0 <= D <= L, is at most L ||S^(1/2) K||^2.

    Args:
        theta: Weights stacked in time, `kernel` (steps, fields, *kernel_size, c, filters), `scale` (steps, fields,
            filters).
        normalization: That of the field.

    Returns:
        Tensor of the shape of the kernel.
    """
    kernel = theta["kernel"]
    if normalization != "scale":
        return kernel
    # Rounded up where it is 0, so that the root has a finite derivative.
    root = ops.sqrt(ops.maximum(theta["scale"], 1e-12))
    return kernel * ops.reshape(root, (*root.shape[:2], *[1] * (len(kernel.shape) - 3), root.shape[-1]))


def known_limit(integrator: Integrator, field: Field) -> Callable | None:
    """Return `limit` of a method where it applies, with the symmetric layer; otherwise None."""
    return integrator.limit if field.symmetric else None


def limits(integrator: Integrator, field: Field, norms: Norms) -> Norms:
    """Return the largest step sizes by the theory of a method, of shape (steps,).

    Args:
        integrator: The one-step method.
        field: The right-hand side.
        norms: Bounds of the norms of the kernels that `effective_kernel` returns, array or tensor (steps, fields).

    Raises:
        ValueError: If no limit is known for them, or the activation is not in `LIPSCHITZ`.
    """
    limit = known_limit(integrator, field)
    if limit is None:
        layer = "symmetric" if field.symmetric else "general"
        raise ValueError(f"no step limit is known for {integrator.name} with the {layer} layer")
    return limit(lipschitz(field.activation, field.normalization), norms)


def automatic_step(
    integrator: Integrator, field: Field, theta: dict, maximum: float, max_gain: float | None = None
) -> tf.Tensor:
    """Return h = min(maximum, 0.9 min_j limit_j), a scalar tensor that no gradient goes through.

    The limits are those of `limits` with `norm_bound`: no larger than those of `stability.step_limit`, up to its
    tolerance.

    Args:
        integrator: The one-step method.
        field: The right-hand side.
        theta: Weights stacked in time.
        maximum: Upper bound of h.
        max_gain: Upper bound of h^p L ||K||^2 for every kernel, p the power of h in the method; default None.
    """
    kernel = ops.stop_gradient(effective_kernel(theta, field.normalization))
    norms = norm_bound(kernel, axes=len(kernel.shape) - 4)
    h = ops.minimum(SAFETY * ops.min(limits(integrator, field, norms)), maximum)
    if max_gain is not None:
        constant = lipschitz(field.activation, field.normalization)
        h = ops.minimum(h, (max_gain / (constant * ops.max(norms) ** 2)) ** (1 / integrator.power))
    return ops.cast(h, kernel.dtype)
