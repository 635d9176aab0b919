"""Every bound against norms of dense Jacobians in float64, which numpy puts together from the weights alone."""

import collections
import itertools

import numpy as np
import pytest

from keras_pdecnn import layers, models
from keras_pdecnn.ops import leapfrog, verlet
from keras_pdecnn.stability import block_bounds, layer_bounds, lipschitz_bound, operator_norm

SPACE, CHANNELS = (4, 3), 4
PIXELS = int(np.prod(SPACE))


def convolution(kernel, padding):
    """Return the matrix of a convolution on images of the size SPACE, pixel by pixel, channels last."""
    *size, c, filters = kernel.shape
    matrix = np.zeros((*SPACE, filters, *SPACE, c))
    for pixel in np.ndindex(*SPACE):
        for place in np.ndindex(*size):
            source = np.add(pixel, place) - np.array(size) // 2
            if padding == "periodic":
                source = source % SPACE
            if np.all(source >= 0) and np.all(source < SPACE):
                matrix[(*pixel, slice(None), *source)] += kernel[place].T
    return matrix.reshape(PIXELS * filters, PIXELS * c)


def per_filter(kernel):
    """Return T^(-1/2) K for the constant L = 1, T_i = (1 / 2) sum_k |K K^T|_ik."""
    products = collections.defaultdict(float)
    places = list(np.ndindex(*kernel.shape[:2]))
    for s, t in itertools.product(places, places):
        products[tuple(np.subtract(s, t))] = products[tuple(np.subtract(s, t))] + kernel[s].T @ kernel[t]
    sums = sum(np.abs(product).sum(axis=1) for product in products.values())
    return kernel * np.sqrt((1 - 1e-5) * 2 / sums)


class Field:
    """-K^T a(S K v + b) and its derivative, with the pattern of ReLU at v or any other one."""

    def __init__(self, kernel, scale, bias, padding, shrinks):
        self.matrix, self.shrinks = convolution(kernel, padding), shrinks
        self.scale, self.bias = np.tile(scale, PIXELS), np.tile(bias, PIXELS)

    def __call__(self, v):
        p = np.maximum(self.scale * (self.matrix @ v) + self.bias, 0)
        slopes = np.diag((p > 0) * self.scale)
        if self.shrinks:
            pixels = p.reshape(PIXELS, -1)
            r = 1 / np.sqrt(1 + np.sum(pixels**2, axis=1))
            blocks = [root * np.eye(len(q)) - root**3 * np.outer(q, q) for q, root in zip(pixels, r, strict=True)]
            slopes = np.kron(np.eye(PIXELS), np.ones_like(blocks[0])) * np.tile(np.hstack(blocks), (PIXELS, 1)) @ slopes
            p = (pixels * r[:, None]).ravel()
        return -self.matrix.T @ p, -self.matrix.T @ slopes @ self.matrix

    def with_pattern(self, pattern):
        """Return a function with the same derivative everywhere."""
        derivative = -self.matrix.T @ np.diag(pattern * self.scale) @ self.matrix
        return lambda v: (0 * v, derivative)


def fields_of(block):
    """Return the fields of all steps, a list of lists."""
    kernels = np.asarray(block.kernel)
    filters = kernels.shape[-1]
    rows = []
    for j in range(block.steps):
        row = []
        for field in range(kernels.shape[1]):
            kernel = per_filter(kernels[j, field]) if block.step_size == "per_filter" else kernels[j, field]
            scale = np.asarray(block.scale)[j, field] if block.normalization == "scale" else np.ones(filters)
            bias = np.asarray(block.bias)[j, field]
            row.append(Field(kernel, scale, bias, block.padding, block.normalization == "shrinkage"))
        rows.append(row)
    return rows


def flow(block, h, fields, y):
    """Return the output for an example y and the Jacobian; of a second-order block, that of (y_N, v_N)."""
    n = y.size
    if isinstance(block, layers.HamiltonianBlock):
        half = np.arange(n).reshape(-1, CHANNELS)
        parts = [half[:, : CHANNELS // 2].ravel(), half[:, CHANNELS // 2 :].ravel()]
        value, jacobian = y.copy(), np.eye(n)
        for first, second in fields:
            for (target, source), field, sign in ((parts, first, 1), (parts[::-1], second, -1)):
                F, dF = field(value[source])
                value[target] += sign * h * F
                jacobian[target] += sign * h * dF @ jacobian[source]
        return value, jacobian
    value, jacobian, v, dv = y, np.eye(n), 0.0, np.zeros((n, n))
    for (field,) in fields:
        F, dF = field(value)
        if isinstance(block, layers.SecondOrderBlock):
            v, dv = v + h * h * F, dv + h * h * dF @ jacobian
            value, jacobian = value + v, jacobian + dv
        else:
            value, jacobian = value + h * F, jacobian + h * dF @ jacobian
    return (value, np.vstack([jacobian, dv])) if isinstance(block, layers.SecondOrderBlock) else (value, jacobian)


def patterns(rng, fields):
    """Return the fields with patterns that need not belong to any input: all, none, those of one field, random ones."""
    likely = [rng.choice([0.0, 0.1, 0.5, 0.9, 1.0]) for _ in fields[0]]
    return [
        [
            field.with_pattern(rng.random(len(field.matrix)) < part)
            for field, part in zip(row, likely if rng.random() < 0.7 else likely[::-1], strict=True)
        ]
        for row in fields
    ]


GAINS = {
    layers.ParabolicBlock: (("same", None), ("periodic", None)),
    layers.HamiltonianBlock: (("same", None), ("same", 1 / 8), ("periodic", 1 / 8)),
    layers.SecondOrderBlock: (
        ("same", None),
        ("same", 1 / 4),
        ("periodic", layers.SecondOrderBlock.nonexpansive_gain(2)),
    ),
}
"""Padding and `max_gain` of the blocks of each class."""


@pytest.mark.parametrize("block_class", GAINS)
@pytest.mark.parametrize(
    ("step_size", "normalization"),
    [
        ("auto", None),
        ("auto", "scale"),
        ("auto", "shrinkage"),
        ("per_filter", None),
        ("per_filter", "shrinkage"),
        (0.2, None),
    ],
)
def test_bounds_of_blocks(float64, eager, rng, block_class, step_size, normalization):
    for padding, max_gain in GAINS[block_class]:
        settings = {"normalization": normalization, "padding": padding, "max_gain": max_gain, "max_step_size": 9.0}
        block = block_class(2, step_size=step_size, **settings)
        block.build((None, *SPACE, CHANNELS))
        for weight in block.weights:
            size = 10.0 ** rng.uniform(-1, 1, (*weight.shape[:2], *[1] * (len(weight.shape) - 2)))
            values = size * rng.normal(size=weight.shape)
            weight.assign(np.abs(values) if weight.name == "scale" else 0.3 * values)
        (lower, upper), fields, h = block_bounds(block, SPACE), fields_of(block), float(block.current_step_size())
        y = rng.normal(size=(6, *SPACE, CHANNELS)) * 10.0 ** rng.uniform(-2, 2, (6, 1, 1, 1))
        output = np.asarray(block(y)).reshape(6, -1)
        for k in range(6):
            value, _ = flow(block, h, fields, y[k].ravel())
            np.testing.assert_allclose(value, output[k], rtol=1e-9, atol=1e-9 * np.abs(y[k]).max())
        jacobians = [flow(block, h, fields, example.ravel())[1] for example in y]
        jacobians += [flow(block, h, patterns(rng, fields), y[0].ravel())[1] for _ in range(30)]
        values = [np.linalg.svd(jacobian[: y[0].size], compute_uv=False)[0] for jacobian in jacobians]
        smallest = min(np.linalg.svd(jacobian, compute_uv=False)[-1] for jacobian in jacobians)
        assert max(values) <= upper * (1 + 1e-12)
        assert smallest >= lower * (1 - 1e-9) - 1e-12
        if max_gain is not None and step_size != 0.2:
            assert upper <= 1.134 if block_class is layers.HamiltonianBlock else upper == 1.0
        if block_class is layers.ParabolicBlock and step_size != 0.2:
            assert upper == 1.0


@pytest.mark.parametrize("steps", [1, 2, 5])
def test_the_joint_bound_of_verlet_is_almost_reached(steps):
    """With all of one field and nothing of the other, the block is a shear."""
    for total, excess in ((0.25, 0.002), (1.0, 0.08)):
        gains = np.full((steps, 2), total / steps)
        bound = verlet.bounds.evaluate(gains, True)[1]
        shear = np.linalg.norm([[1, total], [0, 1]], 2)
        assert shear <= bound <= shear * (1 + excess)
        assert bound < np.sqrt(1 + total + total**2) + 1e-4
        assert verlet.bounds.evaluate(gains, False)[1] > bound


@pytest.mark.parametrize("steps", [1, 2, 3, 8, 40])
def test_leapfrog_is_non_expansive_up_to_a_larger_gain(rng, steps):
    gain = layers.SecondOrderBlock.nonexpansive_gain(steps)
    assert gain >= 3 * layers.SecondOrderBlock.bounded_gain(steps) or steps == 1

    def upper(gain):
        return leapfrog.bounds.evaluate(np.column_stack([gain * np.ones(steps), np.ones(steps)]), True)[1]

    assert upper(gain) == 1.0
    # For an F that is linear and constant in time, the exact limit is this one; the bounds are for all others as well.
    exact = 4 * np.sin(np.pi / (2 * (steps + 1))) ** 2
    assert 0.55 * exact < gain < exact
    assert upper(1.05 * gain) > 1 or steps > 3
    if steps <= 8:
        assert upper(1.2 * exact) > 1
    # Symmetric matrices of numbers, different at every step.
    for _ in range(30):
        y, v = np.eye(3), np.zeros((3, 3))
        for _ in range(steps):
            q = np.linalg.qr(rng.normal(size=(3, 3)))[0]
            v = v - (q * (gain * (rng.random(3) < 0.5))) @ q.T @ y
            y = y + v
        assert np.linalg.norm(y, 2) <= 1 + 1e-12


def columns(layer, shape):
    """Return the matrix of a linear layer from what it makes of unit vectors."""
    n = int(np.prod(shape))
    zero = np.asarray(layer(np.zeros((1, *shape))))
    return (np.asarray(layer(np.eye(n).reshape(n, *shape))) - zero).reshape(n, -1).T


@pytest.mark.parametrize("orthogonal", [False, True])
@pytest.mark.parametrize(("kernel_size", "pool_size", "filters"), [(3, 1, 4), (1, 2, 4), (1, 2, 14), (1, 1, 6)])
def test_bounds_of_connectors(float64, eager, rng, orthogonal, kernel_size, pool_size, filters):
    matrix = None
    for activation in (None, "relu", "minmax"):
        layer = layers.BoundedConnector(filters, kernel_size, pool_size, activation=activation, orthogonal=orthogonal)
        layer.build((None, *SPACE, 3))
        layer.kernel.assign(np.random.default_rng(1).normal(size=layer.kernel.shape))
        bound = layer.lipschitz_bound((None, *SPACE, 3))
        assert bound <= 1 + 1e-6
        if activation is None:
            matrix = columns(layer, (*SPACE, 3))
            norm = np.linalg.norm(matrix, 2)
            # With one pixel the norm is that of a matrix, and the bound is exact.
            assert norm <= bound * (1 + 1e-12) <= norm * (1 + 1e-9 if kernel_size == 1 else 1.6)
        x, other = rng.normal(size=(2, 20, *SPACE, 3))
        growth = [np.linalg.norm(np.reshape(d, (20, -1)), axis=1) for d in (layer(x) - layer(other), x - other)]
        assert np.max(growth[0] / growth[1]) <= np.linalg.norm(matrix, 2) * (1 + 1e-12)


NETWORKS = [
    ("parabolic", {"step_size": "auto"}),
    ("parabolic", {"step_size": "per_filter", "orthogonal": True, "padding": "periodic"}),
    ("hamiltonian", {"step_size": "auto", "normalization": "shrinkage"}),
    ("hamiltonian", {"step_size": "per_filter", "orthogonal": True}),
    ("second_order", {"step_size": "auto", "normalization": "scale", "padding": "periodic"}),
    ("second_order", {"step_size": "per_filter", "orthogonal": True, "max_gain": 0.8}),
]


@pytest.mark.parametrize(("architecture", "settings"), NETWORKS, ids=str)
def test_bounds_of_networks(float64, eager, rng, architecture, settings):
    settings = {"classes": 3, "widths": (4, 6), "steps": 2, "include_preprocessing": False, **settings}
    model = models.ARCHITECTURES[architecture]((6, 6, 2), provable=True, classifier_activation=None, **settings)
    for weight in model.weights:
        if weight.name in ("bias", "kernel"):
            weight.assign(weight + 0.3 * rng.normal(size=weight.shape))
    x = rng.normal(size=(8, 6, 6, 2)) * 10.0 ** rng.uniform(-1, 1, (8, 1, 1, 1))
    # ReLU is linear between kinks, so that differences are derivatives.
    step = 1e-6
    points = x[:, None] + step * np.concatenate([np.zeros((1, 72)), np.eye(72)]).reshape(73, 6, 6, 2)
    outputs = np.asarray(model(points.reshape(-1, 6, 6, 2))).reshape(8, 73, 3)
    jacobians = np.swapaxes(outputs[:, 1:] - outputs[:, :1], 1, 2) / step
    largest, bound = np.linalg.norm(jacobians, 2, axis=(1, 2)).max(), lipschitz_bound(model)
    assert largest <= bound * (1 + 1e-6)
    assert largest >= 0.05 * bound
    assert np.isclose(bound, np.prod([each.upper for each in layer_bounds(model)]), rtol=1e-8)


def test_the_norm_on_a_periodic_image_is_that_of_the_matrix(float64, rng):
    kernel = rng.normal(size=(3, 3, 2, 5))
    norm = np.linalg.norm(convolution(kernel, "periodic"), 2)
    assert norm <= operator_norm(kernel, "periodic", shape=SPACE) <= norm * (1 + 1e-9)
    inside = np.linalg.norm(convolution(kernel, "same"), 2)
    assert inside <= operator_norm(kernel, "same", shape=SPACE) <= 1.6 * inside
