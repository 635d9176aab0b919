"""The stability of a network: what the theory of partial differential equations guarantees, and what is measured.

Operator norms, step limits and energies; Lipschitz bounds and certified radii; a report of every step; attacks and
noise, and the accuracy under them.
"""

from keras_pdecnn.ops.operator_norm import operator_norm
from keras_pdecnn.stability.attacks import attack
from keras_pdecnn.stability.blocks import block_bounds
from keras_pdecnn.stability.boundary import boundary_attack
from keras_pdecnn.stability.certificates import certified_radius
from keras_pdecnn.stability.energies import leapfrog_energy, verlet_energy
from keras_pdecnn.stability.falsification import smallest_perturbation
from keras_pdecnn.stability.limits import step_limit
from keras_pdecnn.stability.lipschitz import layer_bounds, lipschitz_bound
from keras_pdecnn.stability.logits import logits
from keras_pdecnn.stability.perturbations import blur, gaussian_noise, salt_and_pepper
from keras_pdecnn.stability.potentials import leapfrog_hamiltonian, potential, verlet_hamiltonian
from keras_pdecnn.stability.report import report
from keras_pdecnn.stability.robustness import accuracies

__all__ = [
    "accuracies",
    "attack",
    "block_bounds",
    "blur",
    "boundary_attack",
    "certified_radius",
    "gaussian_noise",
    "layer_bounds",
    "leapfrog_energy",
    "leapfrog_hamiltonian",
    "lipschitz_bound",
    "logits",
    "operator_norm",
    "potential",
    "report",
    "salt_and_pepper",
    "smallest_perturbation",
    "step_limit",
    "verlet_energy",
    "verlet_hamiltonian",
]
