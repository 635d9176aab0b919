"""What the theory of partial differential equations says about a network: energies, norms, limits, certificates."""

from keras_pdecnn.stability.certificates import certified_radius
from keras_pdecnn.stability.energies import leapfrog_energy, verlet_energy
from keras_pdecnn.stability.limits import step_limit
from keras_pdecnn.stability.lipschitz import layer_bounds, lipschitz_bound
from keras_pdecnn.stability.norms import operator_norm
from keras_pdecnn.stability.shears import block_bounds

__all__ = [
    "block_bounds",
    "certified_radius",
    "layer_bounds",
    "leapfrog_energy",
    "lipschitz_bound",
    "operator_norm",
    "step_limit",
    "verlet_energy",
]
