"""Time integrators as data: factors, updates and integrators, and the three integrators of the paper, one file each."""

from keras_pdecnn.ops.integrators.forward_euler import forward_euler
from keras_pdecnn.ops.integrators.integrator import Bounds, Integrator
from keras_pdecnn.ops.integrators.leapfrog import leapfrog
from keras_pdecnn.ops.integrators.update import Factor, FunctionFactor, Update
from keras_pdecnn.ops.integrators.verlet import verlet

__all__ = ["Bounds", "Factor", "FunctionFactor", "Integrator", "Update", "forward_euler", "leapfrog", "verlet"]
