"""Derivatives of functions of tensors, and the order in which a graph computes them."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf


def vjp(function: Callable, x) -> tuple[tf.Tensor, Callable]:
    """Return function(x), and the function that pulls a cotangent of it back to x, which can be called once.

    Both x and the value may be tuples of tensors.
    """
    # A tape does not follow tensors of another graph, as those of the forward pass are in the gradient of a loop.
    x = tf.nest.map_structure(tf.identity, x)
    with tf.GradientTape() as tape:
        tape.watch(x)
        value = function(x)

    def pull_back(v):
        gradients = tape.gradient(value, x, output_gradients=v, unconnected_gradients="zero")
        return tf.nest.map_structure(tf.convert_to_tensor, gradients)

    return value, pull_back


def jvp(function: Callable, x, tangent) -> tuple[tf.Tensor, tf.Tensor]:
    """Return function(x), and its derivative in the direction of a tangent; x may be a tuple of tensors."""
    with tf.autodiff.ForwardAccumulator(x, tangent) as accumulator:
        value = function(x)
    return value, accumulator.jvp(value, unconnected_gradients="zero")


def after(function: Callable, wait_for):
    """Return function(), computed only when the tensor `wait_for`, or all of a tuple, have been computed."""
    with tf.control_dependencies(tf.nest.flatten(wait_for)):
        return function()


def delayed(x, wait_for):
    """Return the tensor x, available only when the tensor `wait_for`, or all of a tuple, have been computed."""
    return after(lambda: tf.identity(x), wait_for)
