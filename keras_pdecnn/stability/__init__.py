"""What the theory of partial differential equations says about a network: energies, operator norms, step limits."""

from keras_pdecnn.stability.energies import leapfrog_energy, verlet_energy
from keras_pdecnn.stability.limits import step_limit
from keras_pdecnn.stability.norms import operator_norm

__all__ = ["leapfrog_energy", "operator_norm", "step_limit", "verlet_energy"]
