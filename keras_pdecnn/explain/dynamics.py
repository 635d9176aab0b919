"""The time inside a trained network: the size of its features, and how a small perturbation of the input grows."""

from __future__ import annotations

import dataclasses

import keras
import numpy as np
from keras import ops
from numpy.typing import ArrayLike

from keras_pdecnn import layers
from keras_pdecnn.data.checks import check_examples
from keras_pdecnn.models.model import PDEModel
from keras_pdecnn.ops.integrators import leapfrog, verlet
from keras_pdecnn.stability import leapfrog_energy, verlet_energy
from keras_pdecnn.utils import arguments


@dataclasses.dataclass(frozen=True)
class BlockDynamics:
    """What happens to some examples inside a block; step 0 is its input.

    Args:
        name: Name of the block.
        trajectory: Features at all steps, shape (steps + 1, n, *space, channels).
        distance: ||y'(t) - y(t)|| of the trajectory y' from a perturbed input of the network, shape (steps + 1, n).
        energy: The discrete energy that the block conserves, of the same shape; None if it has none.

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


def follow(model: PDEModel, x: ArrayLike, perturbation: float = 1e-3, seed: int = 0) -> list[BlockDynamics]:
    """Follow examples through the blocks of a network, and beside each of them one with a perturbed input.

    x' = x + perturbation * ||x - mean(x)|| * e,   e a random direction of norm 1

    What is seen is the growth of a random perturbation; the worst one grows at least as much.

    Args:
        model: A network of `models`.
        x: Raw examples, shape (n, *space, channels).
        perturbation: Its size, relative to that of the example without its mean; positive, default 1e-3.
        seed: Determines the directions; default 0.

    Returns:
        One `BlockDynamics` per block, in order.

    Raises:
        ValueError: If the perturbation is not positive, or x is not what the network takes or not finite.

    Example:
        >>> network = keras_pdecnn.models.ParabolicCNN((8, 8, 1), classes=2, widths=(4,), steps=3)
        >>> follow(network, keras.random.normal((5, 8, 8, 1)))[0].growth.shape
        (4, 5)
    """
    arguments.check_positive("perturbation", perturbation)
    x = check_examples(x, "x", model.input_shape[1:], model.input.dtype)
    axes = tuple(range(1, x.ndim))
    direction = np.random.default_rng(seed).normal(size=x.shape)
    direction /= np.sqrt(np.sum(direction**2, axis=axes, keepdims=True))
    size = np.sqrt(np.sum((x - x.mean(axis=axes, keepdims=True)) ** 2, axis=axes, keepdims=True))
    both = np.concatenate([x, x + perturbation * size * direction])
    inputs = keras.Model(model.input, {block.name: block.input for block in model.blocks})(both, training=False)
    found = []
    for block in model.blocks:
        plain, perturbed = np.split(ops.convert_to_numpy(block.trajectory(inputs[block.name])), 2, axis=1)
        found.append(BlockDynamics(block.name, plain, _norm(perturbed - plain), conserved_energy(block, plain)))
    return found


def conserved_energy(block: layers.PDEBlock, trajectory: ArrayLike) -> np.ndarray | None:
    """Return the discrete energy along a trajectory, shape (steps + 1, n), or None for a block that conserves none.

    Only Verlet and leapfrog steps with the symmetric layer, those of Hamiltonian and second-order blocks, have one
    (`stability.verlet_energy`, `stability.leapfrog_energy`), and only where they are linear and constant in time:
    identity as activation, no normalisation, no bias, one kernel.

    Args:
        block: A block of the package.
        trajectory: What `block.trajectory` returns for n examples, shape (steps + 1, n, *space, channels).

    Example:
        >>> block = layers.HamiltonianBlock(steps=3, normalization=None, activation="linear")
        >>> conserved_energy(block, block.trajectory(keras.random.normal((5, 8, 8, 2)))).shape
        (4, 5)
    """
    linear = block.symmetric and block.normalization is None and block.activation is keras.activations.linear
    theta = {name: ops.convert_to_numpy(weight) for name, weight in block.theta().items()}
    kernel = theta["kernel"]
    if not linear or np.any(theta.get("bias", 0)) or np.any(kernel != kernel[:1]):
        return None
    y, h = np.asarray(trajectory), float(block.current_step_size())
    if block.integrator == verlet:
        states = zip(*np.split(y, 2, axis=-1), strict=True)
        found = [verlet_energy(first, second, kernel[0, 0], kernel[0, 1], h, block.padding) for first, second in states]
    elif block.integrator == leapfrog:
        velocity = np.diff(y, axis=0, prepend=y[:1])
        states = zip(y, velocity, strict=True)
        found = [leapfrog_energy(features, v, kernel[0, 0], h, block.padding) for features, v in states]
    else:
        return None
    return np.stack([ops.convert_to_numpy(energy) for energy in found])


def _norm(features: np.ndarray) -> np.ndarray:
    """Return the norm over all axes but the first two, steps and examples."""
    return np.linalg.norm(features.reshape(*features.shape[:2], -1).astype(np.float64), axis=-1)


def _quotient(value: np.ndarray, start: np.ndarray) -> np.ndarray:
    """Return value / start, NaN where both are 0: an example without contrast has no perturbation."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return value / start
