"""Pure functions of tensors: convolutions and their adjoints, right-hand sides, integrators, propagation."""

from keras_pdecnn.ops import time_basis
from keras_pdecnn.ops.backprop import Checkpointed, Reversible, Stored
from keras_pdecnn.ops.convolution import adjoint_convolve, adjoint_kernel, convolve
from keras_pdecnn.ops.fields import Field, general_layer, symmetric_layer
from keras_pdecnn.ops.integrators import (
    Bounds,
    Factor,
    Integrator,
    RungeKuttaUpdate,
    StateUpdate,
    Update,
    accelerated,
    damped_leapfrog,
    forward_euler,
    half_kick_leapfrog,
    heun,
    leapfrog,
    momentum,
    reversible,
    rk4,
    semi_implicit,
    symmetric_verlet,
    verlet,
)
from keras_pdecnn.ops.norms import norm_bound
from keras_pdecnn.ops.propagation import propagate, trajectory, undo
from keras_pdecnn.ops.row_sums import row_sums
from keras_pdecnn.ops.theta import Theta
from keras_pdecnn.ops.tv import tv_normalize

__all__ = [
    "Bounds",
    "Checkpointed",
    "Factor",
    "Field",
    "Integrator",
    "Reversible",
    "RungeKuttaUpdate",
    "StateUpdate",
    "Stored",
    "Theta",
    "Update",
    "accelerated",
    "adjoint_convolve",
    "adjoint_kernel",
    "convolve",
    "damped_leapfrog",
    "forward_euler",
    "general_layer",
    "half_kick_leapfrog",
    "heun",
    "leapfrog",
    "momentum",
    "norm_bound",
    "propagate",
    "reversible",
    "rk4",
    "row_sums",
    "semi_implicit",
    "symmetric_layer",
    "symmetric_verlet",
    "time_basis",
    "trajectory",
    "tv_normalize",
    "undo",
    "verlet",
]
