"""Three ways to take the gradient of a propagation; each needs TensorFlow itself, the numbers are the same."""
