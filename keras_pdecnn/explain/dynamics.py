"""The dynamics of a trained network: the norm of its features, and the growth of a small perturbation of its input."""

from __future__ import annotations

import dataclasses

import keras
import numpy as np
from keras import ops
from numpy.typing import ArrayLike

from keras_pdecnn import layers
from keras_pdecnn.data.checks import check_examples
from keras_pdecnn.layers.graph import Graph
from keras_pdecnn.ops.integrators import leapfrog, verlet
from keras_pdecnn.stability import leapfrog_energy, verlet_energy
from keras_pdecnn.utils import arguments


@dataclasses.dataclass(frozen=True)
class BlockDynamics:
    """The features of some examples inside a block. Step 0 is the input of the block.

    Args:
        name: Name of the block.
        trajectory: Features at all steps, of shape (steps + 1, n, *space, channels).
        distance: Distance ||y'(t) - y(t)||, of shape (steps + 1, n), to the trajectory y' of a perturbed input of the
            network.
        energy: Discrete energy that the block conserves, of the same shape; None if there is none.

    Example:
        >>> network = keras_pdecnn.models.ParabolicCNN((8, 8, 1), classes=2, widths=(4,), steps=3)
        >>> block = follow(network, keras.random.normal((5, 8, 8, 1)))[0]
        >>> block.name, block.growth.shape
        ('block_1', (4, 5))
    """

    name: str
    trajectory: np.ndarray
    distance: np.ndarray
    energy: np.ndarray | None

    @property
    def norm(self) -> np.ndarray:
        """||y(t)||, shape (steps + 1, n)."""
        return _norm(self.trajectory)

    @property
    def relative_norm(self) -> np.ndarray:
        """||y(t)|| / ||y(0)||: 1 at the input of the block."""
        return _quotient(self.norm, self.norm[:1])

    @property
    def relative_distance(self) -> np.ndarray:
        """||y'(t) - y(t)|| / ||y(t)||."""
        return _quotient(self.distance, self.norm)

    @property
    def growth(self) -> np.ndarray:
        """||y'(t) - y(t)|| / ||y'(0) - y(0)||: 1 at the input of the block, never larger if it is non-expansive."""
        return _quotient(self.distance, self.distance[:1])


def follow(model: keras.Model, x: ArrayLike, perturbation: float = 1e-3, seed: int = 0) -> list[BlockDynamics]:
    """Follow examples through the blocks of a network, each of them together with a perturbed copy.

    x' = x + perturbation * ||x - mean(x)|| * e,   e a random direction of norm 1

    The result shows the growth of a random perturbation. The worst perturbation grows at least as much.

    Args:
        model: A network of `models`, or another functional or sequential model with blocks, nested or not.
        x: Raw examples of shape (n, *space, channels).
        perturbation: Size of the perturbation relative to ||x - mean(x)||; positive, default 1e-3.
        seed: Seed of the random directions; default 0.

    Returns:
        List of one `BlockDynamics` per call of a block, in order.

    Raises:
        ValueError: If the perturbation is not positive, or x has another shape than the input or is not finite.

    Example:
        >>> network = keras_pdecnn.models.ParabolicCNN((8, 8, 1), classes=2, widths=(4,), steps=3)
        >>> follow(network, keras.random.normal((5, 8, 8, 1)))[0].growth.shape
        (4, 5)
    """
    arguments.check_positive("perturbation", perturbation)
    x = check_examples(x, "x", model.input_shape[1:], model.inputs[0].dtype)
    axes = tuple(range(1, x.ndim))
    direction = np.random.default_rng(seed).normal(size=x.shape)
    direction /= np.sqrt(np.sum(direction**2, axis=axes, keepdims=True))
    size = np.sqrt(np.sum((x - x.mean(axis=axes, keepdims=True)) ** 2, axis=axes, keepdims=True))
    both = np.concatenate([x, x + perturbation * size * direction])
    graph, dynamics = Graph(model), []
    for call, inputs in zip(graph.blocks, graph.block_inputs(ops.convert_to_tensor(both)), strict=True):
        block = call.layer
        plain, perturbed = np.split(ops.convert_to_numpy(block.trajectory(inputs)), 2, axis=1)
        distance, energy = _norm(perturbed - plain), conserved_energy(block, plain)
        dynamics.append(BlockDynamics(call.name, _with_channels_last(block, plain), distance, energy))
    return dynamics


def has_energy(block: layers.PDEBlock) -> bool:
    """Return whether an energy is known that the steps of a block conserve if they are linear and constant in time."""
    return block.symmetric and block.integrator in (verlet, leapfrog)


def is_linear(block: layers.PDEBlock) -> bool:
    """Return whether the right-hand side of a block is linear, apart from a bias."""
    return block.normalization is None and block.activation is keras.activations.linear


def conserved_energy(block: layers.PDEBlock, trajectory: ArrayLike) -> np.ndarray | None:
    """Return the discrete energy along a trajectory, or None for a block that conserves none.

    Verlet and leapfrog steps with the symmetric layer, those of Hamiltonian and second-order blocks, conserve an energy
    (`stability.verlet_energy`, `stability.leapfrog_energy`) if they are linear and constant in time: the identity as
    activation, no normalisation, no bias, and the same kernel in all steps.

    Args:
        block: A block.
        trajectory: Features of n examples as `block.trajectory` returns them, of shape (steps + 1, n, *space,
            channels), or with the channels first if the block has them first.

    Returns:
        Array of shape (steps + 1, n), or None.

    Example:
        >>> block = layers.HamiltonianBlock(steps=3, normalization=None, activation="linear")
        >>> conserved_energy(block, block.trajectory(keras.random.normal((5, 8, 8, 2)))).shape
        (4, 5)
    """
    theta = {name: ops.convert_to_numpy(weight) for name, weight in block.theta().items()}
    kernel = theta["kernel"]
    if not (has_energy(block) and is_linear(block)) or np.any(theta.get("bias", 0)) or np.any(kernel != kernel[:1]):
        return None
    y, h = _with_channels_last(block, np.asarray(trajectory)), float(block.current_step_size())
    if block.integrator == verlet:
        states = zip(*np.split(y, 2, axis=-1), strict=True)
        energies = [verlet_energy(a, b, kernel[0, 0], kernel[0, 1], h, block.padding) for a, b in states]
    else:
        states = zip(y, np.diff(y, axis=0, prepend=y[:1]), strict=True)  # features and velocities
        energies = [leapfrog_energy(a, v, kernel[0, 0], h, block.padding) for a, v in states]
    return np.stack([ops.convert_to_numpy(energy) for energy in energies])


def _with_channels_last(block: layers.PDEBlock, trajectory: np.ndarray) -> np.ndarray:
    """Return a trajectory of a block, whose first axis is time, with the channels last."""
    return np.moveaxis(trajectory, 2, -1) if block.data_format == "channels_first" else trajectory


def _norm(features: np.ndarray) -> np.ndarray:
    """Return the norm of the features at each step and of each example, the first two axes."""
    return np.linalg.norm(features.reshape(*features.shape[:2], -1).astype(np.float64), axis=-1)


def _quotient(value: np.ndarray, start: np.ndarray) -> np.ndarray:
    """Return value / start. It is NaN where both are 0, as the perturbation of an example without contrast is."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return value / start
