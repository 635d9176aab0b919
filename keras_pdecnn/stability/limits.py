"""Step limits: how large a step of a block may be by the theory of its integrator."""

from __future__ import annotations

import keras
import numpy as np

from keras_pdecnn.layers import HamiltonianBlock, ParabolicBlock, PDEBlock, SecondOrderBlock
from keras_pdecnn.stability.norms import operator_norm

LIPSCHITZ = {
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


def step_limit(block) -> np.ndarray:
    """Return the largest step size of each step of a block, from `operator_norm` and its activation.

    ParabolicBlock:    h <= 2 / (L ||K||^2)
    SecondOrderBlock:  h < 2 / (sqrt(L) ||K||)
    HamiltonianBlock:  h < 2 / (L ||K1|| ||K2||)

    L is the Lipschitz constant of the activation, the norms are upper bounds for every size of image. Only the first is
    a theorem: with `normalization=None`, with or without a bias, a parabolic step does not enlarge the distance of any
    two inputs (up to rounding in the type of the block). The other two are those of a linearisation that is constant in
    time, again with `normalization=None`; they guarantee nothing for the nonlinear, time-dependent network.

    With `normalization="tv"` the same numbers are returned, of the layer without its normalisation, for comparison: no
    limit is proved for it, and smaller steps can expand.

    Args:
        block: A built `ParabolicBlock`, `SecondOrderBlock` or `HamiltonianBlock`.

    Returns:
        float64 array of shape (steps,), infinity where a kernel is 0.

    Raises:
        ValueError: If the block is of another class (nothing makes the steps of a `ResidualBlock` stable), is not
            built, has kernels that are not finite, or an activation not in `LIPSCHITZ`.

    Example:
        >>> block = keras_pdecnn.layers.ParabolicBlock(1, kernel_size=1, normalization=None, kernel_initializer="ones")
        >>> block.build((None, 8, 8, 1))
        >>> step_limit(block).round(9).tolist()
        [2.0]
    """
    if not isinstance(block, ParabolicBlock | SecondOrderBlock | HamiltonianBlock):
        reason = " (nothing makes the steps of other blocks stable)" if isinstance(block, PDEBlock) else ""
        raise ValueError(
            f"block must be a ParabolicBlock, SecondOrderBlock or HamiltonianBlock{reason}. Received: block={block!r}"
        )
    if not block.built:
        raise ValueError(f"block must be built, for its kernel is needed. Received: block={block!r}")
    lipschitz = _lipschitz(block.activation)
    kernel = block.theta()["kernel"]
    norms = operator_norm(kernel, block.padding, axes=len(kernel.shape) - 4)
    with np.errstate(divide="ignore"):
        if isinstance(block, SecondOrderBlock):
            return 2 / (np.sqrt(lipschitz) * norms[:, 0])
        # A parabolic block has one kernel, that counts twice; a Hamiltonian one has two.
        return 2 / (lipschitz * norms[:, 0] * norms[:, -1])


def _lipschitz(activation) -> float:
    """Return L of an activation of Keras."""
    # Layers and partial functions are objects that cannot be told apart by identity.
    for function, constant in LIPSCHITZ.items():
        if activation is function:
            return constant
    known = ", ".join(function.__name__ for function in LIPSCHITZ)
    name = getattr(activation, "__name__", repr(activation))
    raise ValueError(
        f"the activation of the block must be one of the non-decreasing functions {known}. Received: activation={name}"
    )
