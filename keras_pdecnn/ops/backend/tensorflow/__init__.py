"""TensorFlow: `tf.custom_gradient` around loops whose graph does not grow with the number of steps."""
