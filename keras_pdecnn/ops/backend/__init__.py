"""Code that differs between Keras's backends: one folder for each, and two modules that choose the right one.

`primitives` has operations on tensors; `propagation` has the loop over the steps and its gradient.
"""
