"""What differs between Keras's backends: a folder for each, and the two modules that choose one.

`primitives` are operations of tensors, `propagation` is the loop over the steps and its gradient.
"""
