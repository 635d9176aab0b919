"""Blocks with the weights of a known equation, against finite-difference solutions that share no code with them."""

import numpy as np
import pytest

from keras_pdecnn import layers

GRIDS = [((12,), (0.5,)), ((9, 12), (0.5, 0.8)), ((5, 6, 4), (0.5, 0.8, 1.0))]
every_grid = pytest.mark.parametrize(("space", "mesh"), GRIDS, ids=["1D", "2D", "3D"])


def gradient_kernel(mesh):
    """Return the kernel of forward differences, (*kernel_size, 1, axes): one filter for each space axis."""
    rank = len(mesh)
    kernel = np.zeros((*[3] * rank, 1, rank))
    centre = (1,) * rank
    for axis, width in enumerate(mesh):
        ahead = tuple(2 if i == axis else 1 for i in range(rank))
        kernel[(*centre, 0, axis)] = -1 / width
        kernel[(*ahead, 0, axis)] = 1 / width
    return kernel


def gradient(u, mesh):
    """Return the forward differences along every space axis of u, (batch, *space), periodic."""
    return [(np.roll(u, -1, axis) - u) / width for axis, width in enumerate(mesh, start=1)]


def divergence(flux, mesh):
    """Return the sum of the backward differences of a flux."""
    return sum((f - np.roll(f, 1, axis)) / width for axis, (f, width) in enumerate(zip(flux, mesh, strict=True), 1))


def diffusion_block(mesh, steps, h, **settings):
    block = layers.ParabolicBlock(
        steps, h, filters=len(mesh), activation="linear", use_bias=False, padding="periodic", **settings
    )
    block.build((None, *[None] * len(mesh), 1))
    block.kernel.assign(np.broadcast_to(gradient_kernel(mesh), block.kernel.shape))
    return block


def relative_error(a, b):
    return np.max(np.abs(np.asarray(a) - b)) / np.max(np.abs(b))


@every_grid
def test_heat_equation(float64, rng, space, mesh):
    h = 0.2 / sum(width**-2 for width in mesh)
    u = rng.normal(size=(2, *space))
    found = diffusion_block(mesh, 20, h, normalization=None)(u[..., None])[..., 0]
    mean = u.mean()
    for _ in range(20):
        second = [(np.roll(u, 1, axis) - 2 * u + np.roll(u, -1, axis)) / width**2 for axis, width in enumerate(mesh, 1)]
        u = u + h * sum(second)
    assert relative_error(found, u) < 1e-13
    # Heat is neither made nor lost.
    assert abs(np.mean(found) - mean) < 1e-14


def test_heat_equation_converges_to_its_solution(float64):
    """cos(2 pi x) cos(4 pi y) decays like exp(-20 pi^2 t); with h ~ dx^2 the error is of second order in dx."""

    def error(size):
        x = np.arange(size) / size
        start = np.cos(2 * np.pi * x)[:, None] * np.cos(4 * np.pi * x)
        steps = size**2 // 16
        found = diffusion_block((1 / size, 1 / size), steps, 0.01 / steps, normalization=None)(start[None, ..., None])
        return relative_error(found[0, ..., 0], np.exp(-20 * np.pi**2 * 0.01) * start)

    errors = [error(size) for size in (16, 32, 64)]
    assert np.all(np.abs(np.log2(np.divide(errors[:-1], errors[1:])) - 2) < 0.2)
    assert errors[-1] < 0.01


@every_grid
def test_total_variation_denoising(float64, rng, space, mesh):
    """With N_tv the block is explicit gradient descent on sum sqrt(|grad u|^2 + epsilon)."""
    h, epsilon = 0.01, 0.1
    u = rng.normal(size=(2, *space))
    found = diffusion_block(mesh, 20, h, epsilon=epsilon)(u[..., None])[..., 0]

    def total_variation(u):
        return np.sum(np.sqrt(sum(d**2 for d in gradient(u, mesh)) + epsilon))

    start = total_variation(u)
    for _ in range(20):
        slopes = gradient(u, mesh)
        length = np.sqrt(sum(d**2 for d in slopes) + epsilon)
        u = u + h * divergence([d / length for d in slopes], mesh)
    assert relative_error(found, u) < 1e-13
    assert total_variation(np.asarray(found)) < 0.98 * start
