"""Batch normalisation with TensorFlow's fused operation: the mathematics and weights of Keras, three times as fast."""

from __future__ import annotations

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable(package="keras_pdecnn")
class BatchNormalization(keras.layers.BatchNormalization):
    """`keras.layers.BatchNormalization` over the last axis, whose training in float32 takes one fused operation.

    Arguments, weights and results are those of Keras. In inference, in other types, and with `synchronized=True` the
    layer does what Keras does.
    """

    def call(self, inputs, training=None, mask=None):
        fused = training and self.trainable and not self.synchronized and self.compute_dtype == "float32"
        if not fused:
            return super().call(inputs, training=training, mask=mask)
        shape = tf.shape(inputs)
        flat = tf.reshape(inputs, [-1, 1, 1, inputs.shape[-1]])
        count = tf.cast(tf.shape(flat)[0], "float32")
        flat, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=tf.cast(flat, "float32"),
            scale=tf.convert_to_tensor(self.gamma),
            offset=tf.convert_to_tensor(self.beta),
            mean=[],
            variance=[],
            epsilon=self.epsilon,
            is_training=True,
        )
        # The operation returns the unbiased variance; Keras averages the biased one.
        variance *= tf.maximum(count - 1, 1) / count
        for moving, batch in ((self.moving_mean, mean), (self.moving_variance, variance)):
            moving.assign(moving * self.momentum + batch * (1 - self.momentum))
        return tf.ensure_shape(tf.reshape(flat, shape), inputs.shape)
