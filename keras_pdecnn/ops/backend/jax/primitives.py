"""Operations of tensors in JAX, whose own gradients are as good as those written by hand."""

from __future__ import annotations

import functools
import importlib
import operator
from collections.abc import Callable

import jax
import keras

from keras_pdecnn.ops import affine, convolution, tv

activated = affine.activated_in_float32
convolve = convolution.convolve
tv_normalize = tv.tv_normalize
normalize_batch = compute_and_normalize = None
"""XLA fuses the batch normalisation of Keras by itself."""


def kernel_gradient(y, g, kernel_shape, padding: str = "same"):
    """Return the gradient of <K y, g> with respect to the kernel of K, see the TensorFlow backend."""
    kernel = jax.ShapeDtypeStruct(tuple(kernel_shape), y.dtype)
    return jax.linear_transpose(lambda kernel: convolution.convolve(y, kernel, padding), kernel)(g)[0]


def vjp(function: Callable, x) -> tuple[jax.Array, Callable]:
    """Return function(x), and the function that pulls a cotangent of it back to x; both may be tuples."""
    value, pull_back = jax.vjp(function, x)
    return value, lambda v: pull_back(v)[0]


def jvp(function: Callable, x, tangent) -> tuple[jax.Array, jax.Array]:
    """Return function(x), and its derivative in the direction of a tangent; x may be a tuple of tensors."""
    return jax.jvp(function, (x,), (tangent,))


def jit(function: Callable, signature: tuple | None = None) -> Callable:
    """Return a function of tensors, compiled for each shape that it is called with."""
    del signature
    return jax.jit(function)


def in_float64():
    """Return a context in which float64 is available, whatever the configuration of JAX says."""
    if hasattr(jax, "enable_x64"):
        return jax.enable_x64(True)
    return importlib.import_module("jax.experimental").enable_x64()  # JAX up to 0.7


def concrete():
    """Return a context in which operations run at once, also while a function is traced."""
    return jax.ensure_compile_time_eval()


def after(function: Callable, wait_for):
    """Return function(), which nothing uses before `wait_for`, a tensor or a tuple, has been computed."""
    return jax.lax.optimization_barrier((function(), wait_for))[0]


def delayed(x, wait_for):
    """Return the array x, which nothing uses before `wait_for`, an array or a tuple, has been computed."""
    leaves = [leaf for leaf in jax.tree.leaves(wait_for) if leaf.size]
    if jax.default_backend() != "cpu" or not leaves:
        return after(lambda: x, wait_for)
    # On the CPU, XLA removes barriers before it orders the operations, so x needs entries of what it waits for.
    entries = [jax.lax.slice(leaf, (0,) * leaf.ndim, (1,) * leaf.ndim).reshape(()) for leaf in leaves]
    is_nan = functools.reduce(operator.or_, map(jax.numpy.isnan, entries))
    return jax.numpy.where(is_nan, jax.numpy.nan, x)


def float32_product_roundoff() -> float:
    """Return the largest relative error of a factor in convolutions and matrix products of float32."""
    precision = jax.config.values["jax_default_matmul_precision"]
    exact = jax.default_backend() == "cpu" or precision in ("float32", "highest")
    # GPUs round the factors to 11 bits (TF32), TPUs to 8, unless told otherwise.
    return 2.0**-24 if exact else (2.0**-10 if jax.default_backend() == "gpu" else 2.0**-7)


def for_loss(output, axis: int):
    """Return an output of a network for its loss: the output itself."""
    del axis
    return output


def activation(function: Callable) -> Callable:
    """Return an activation that keeps the type of its argument: Keras's tanh rounds float64 to float32 under JAX."""
    return jax.numpy.tanh if function is keras.activations.tanh else function


def add(total, x):
    """Return total + x."""
    return total + x
