"""Time integrators as data: factors, updates and integrators, one file for each family."""

from keras_pdecnn.ops.integrators.accelerated import accelerated
from keras_pdecnn.ops.integrators.coupled import can_be_coupled, reversible
from keras_pdecnn.ops.integrators.damped import damped_leapfrog, momentum
from keras_pdecnn.ops.integrators.forward_euler import forward_euler
from keras_pdecnn.ops.integrators.integrator import Bounds, Integrator
from keras_pdecnn.ops.integrators.leapfrog import leapfrog
from keras_pdecnn.ops.integrators.runge_kutta import RungeKuttaUpdate, heun, rk4
from keras_pdecnn.ops.integrators.semi_implicit import semi_implicit
from keras_pdecnn.ops.integrators.symmetric import half_kick_leapfrog, symmetric_verlet
from keras_pdecnn.ops.integrators.update import Factor, FunctionFactor, StateUpdate, Update
from keras_pdecnn.ops.integrators.verlet import verlet

__all__ = [
    "Bounds",
    "Factor",
    "FunctionFactor",
    "Integrator",
    "RungeKuttaUpdate",
    "StateUpdate",
    "Update",
    "accelerated",
    "can_be_coupled",
    "damped_leapfrog",
    "forward_euler",
    "half_kick_leapfrog",
    "heun",
    "leapfrog",
    "momentum",
    "reversible",
    "rk4",
    "semi_implicit",
    "symmetric_verlet",
    "verlet",
]
