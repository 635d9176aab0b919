"""Two other ways to read the weights of one time, for gradients and for exports."""

from __future__ import annotations

import tensorflow as tf

from keras_pdecnn.ops.theta import Theta


class SeriesTheta(Theta):
    """Weights read one time at a time, whose gradient touches that entry alone: that of a slice is as long as theta."""

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
    """Weights read by operations that LiteRT has; in a training they would take memory.

    LiteRT slices at most five axes, and kernels in three dimensions have seven: they are rows of a matrix here.
    """

    def at(self, j) -> dict:
        rows = {name: tf.reshape(weight, [weight.shape[0], -1])[j] for name, weight in self.items()}
        return {name: tf.reshape(row, self[name].shape[1:]) for name, row in rows.items()}
