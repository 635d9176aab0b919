"""Two variants of `Theta` that read the weights of one time in another way: one for gradients, one for exports."""

from __future__ import annotations

import tensorflow as tf

from keras_pdecnn.ops.theta import Theta


class SeriesTheta(Theta):
    """Weights that are split along the time axis first, so that the gradient of one step is as small as the step.

    The gradient of a slice would have the size of the whole theta.
    """

    def __init__(self, weights, written_out: bool):
        super().__init__(weights)
        if written_out:
            self._entries = {name: tf.unstack(weight) for name, weight in self.items()}
        else:
            self._arrays = {
                name: tf.TensorArray(weight.dtype, self.steps, element_shape=weight.shape[1:]).unstack(weight)
                for name, weight in self.items()
            }
        self._written_out = written_out

    def at(self, j) -> dict:
        if self._written_out:
            return {name: times[j] for name, times in self._entries.items()}
        return {name: array.read(j) for name, array in self._arrays.items()}


class RowTheta(Theta):
    """Weights that are read with operations that LiteRT has; in training these would need more memory.

    LiteRT slices at most five axes, but kernels with three space axes have seven. So each step is a row of a matrix.
    """

    def at(self, j) -> dict:
        rows = {name: tf.reshape(weight, [weight.shape[0], -1])[j] for name, weight in self.items()}
        return {name: tf.reshape(row, self[name].shape[1:]) for name, row in rows.items()}
