"""Stored activations: automatic differentiation of the loop over the steps."""

from __future__ import annotations

import dataclasses

import tensorflow as tf

from keras_pdecnn.ops.backend.tensorflow import primitives
from keras_pdecnn.ops.backend.tensorflow.loops import UNROLLED, repeat
from keras_pdecnn.ops.backend.tensorflow.theta import SeriesTheta
from keras_pdecnn.ops.fields import BoundField
from keras_pdecnn.ops.theta import Theta


@dataclasses.dataclass(frozen=True)
class FrugalField(BoundField):
    """A right-hand side whose gradient keeps only x and the normalised K1 x of the forward pass.

    The activation is pointwise, so it costs little to compute again, and a third of the memory is free. Convolutions in
    half precision halve what is kept of K1 x, at the cost of their rounding.

    Attributes:
        due: Gets the gradients of the weights; all steps share the list.
    """

    due: list[tf.Tensor]

    def __call__(self, index: int, y, factor=1.0):
        """Return factor * F(theta_index, y) in the type of y."""
        keys = [("kernel", i) for i in dict.fromkeys(self.field.kernel_indices(index))]
        keys += [(name, index) for name in ("scale", "bias") if name in self.theta]

        @tf.custom_gradient
        def run(y, *weights):
            theta: dict[str, dict] = {}
            for (name, i), weight in zip(keys, weights, strict=True):
                theta.setdefault(name, {})[i] = weight
            bound = BoundField(self.field, theta)
            n, *lengths = bound.normalized(index, y)
            kept = (tf.cast(n, self.field.convolution_dtype or self._dtype(y)), *lengths)

            def gradient(w):
                # What depends on the forward pass alone, TensorFlow would compute ahead of the gradients, or not again.
                again = tuple(primitives.delayed(tensor, w) for tensor in kept)
                _, of_y, gradients = bound.pull_back(index, y, again, w, factor)
                of_weights = [gradients[key] for key in keys]
                self.due.extend(of_weights)
                return of_y, *of_weights

            return bound.value(index, (n, *lengths), factor, like=y), gradient

        return run(y, *(self.theta[name][i] for name, i in keys))


def propagate(integrator, field, theta: Theta, h, state: tuple, first=0, frugal: bool = True) -> tuple:
    """Advance the state over all steps of theta, and keep what the gradient of each step needs.

    Args:
        integrator: Time integrator.
        field: Right-hand side.
        theta: Weights stacked in time.
        h: Step size.
        state: State before the first step, a tuple of tensors.
        first: Index of the first step; default 0.
        frugal: Whether pointwise parts are computed again for the gradient; default True. False keeps all activations.
    """
    series = SeriesTheta(theta, written_out=theta.steps <= UNROLLED)
    frugal = frugal and not field.plain
    due: list[tf.Tensor] = []

    def advance(j, state):
        bound = field.bind(series.at(j))
        F = FrugalField(field, bound.theta, due) if frugal else bound
        return integrator.step(F, h, state, first + j)

    begin = tuple(_with_gradient_after(part, due) for part in state) if frugal else tuple(state)
    return repeat(theta.steps, advance, begin)


def _with_gradient_after(x, due: list[tf.Tensor]):
    """Return x, whose cotangent is available only when the gradients in a list have been computed.

    Nothing waits for the gradients of weights, so that TensorFlow could put them off, and would keep all that they need
    while it computes the gradients of the layers before.
    """

    @tf.custom_gradient
    def run(x):
        def gradient(w):
            # Those of a loop are in other graphs, and ready when the loop ends.
            waited_for = [] if tf.executing_eagerly() else [value for value in due if value.graph is w.graph]
            return primitives.delayed(w, waited_for)

        return tf.identity(x), gradient

    return run(x)
