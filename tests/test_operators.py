import math

import keras
import numpy as np
import pytest

from keras_pdecnn import layers, operators, ops

# Shapes that are read by their number of axes, and where their space axes are.
SHAPES = [
    ((3,), (0,)),
    ((3, 2, 5), (0,)),
    ((4, 2, 3, 2, 5), (2,)),
    ((3, 3), (0, 1)),
    ((3, 3, 2, 5), (0, 1)),
    ((4, 2, 3, 3, 2, 5), (2, 3)),
]
every_shape = pytest.mark.parametrize(("shape", "axes"), SHAPES, ids=str)


def widths(axes):
    return (0.3, 1.7)[: len(axes)]


def monomial(x, power, order):
    """Return the derivative of this order of x^power."""
    return math.perm(power, order) * x ** max(power - order, 0) if order <= power else 0 * x


@every_shape
def test_there_and_back(rng, shape, axes):
    stencil = rng.normal(size=shape)
    found = operators.coefficients(stencil, widths(axes))
    assert found.shape == shape
    assert found.dtype == np.float64
    assert np.max(np.abs(operators.stencil(found, widths(axes)) - stencil)) < 1e-13
    # The other way round as well: the change of basis is one to one. Rounding is relative to the stencil in between.
    between = operators.stencil(stencil, widths(axes))
    assert np.max(np.abs(operators.coefficients(between, widths(axes)) - stencil)) < 1e-14 * np.max(np.abs(between))


@pytest.mark.parametrize(
    ("order", "h", "expected"),
    [
        ((0,), 0.5, [0, 1, 0]),
        ((1,), 0.5, [-1, 0, 1]),
        ((2,), 0.5, [4, -8, 4]),
        ((1, 0), (0.5, 0.1), [[0, -1, 0], [0, 0, 0], [0, 1, 0]]),
        ((0, 1), (0.1, 0.5), [[0, 0, 0], [-1, 0, 1], [0, 0, 0]]),
        ((1, 1), (0.5, 0.25), [[2, 0, -2], [0, 0, 0], [-2, 0, 2]]),
        ((2, 2), 1.0, [[1, -2, 1], [-2, 4, -2], [1, -2, 1]]),
    ],
    ids=str,
)
def test_stencils_from_the_textbook(order, h, expected):
    unit = np.zeros([3] * len(order))
    unit[order] = 1
    np.testing.assert_allclose(operators.stencil(unit, h), expected, rtol=1e-15, atol=1e-15)


def test_names_belong_to_the_coefficients():
    """The name at the position of a coefficient spells the orders of its derivatives."""
    for a in range(3):
        assert operators.NAMES[1][a] == spell(a, 0)
        for b in range(3):
            assert operators.NAMES[2][a][b] == spell(a, b)


def spell(a, b):
    below = "".join(f"d{axis}{order if order > 1 else ''}" for axis, order in (("x", a), ("y", b)) if order)
    return f"d{a + b if a + b > 1 else ''}/{below}" if below else "1"


@pytest.mark.parametrize("power", range(3))
def test_derivatives_of_polynomials_in_1d(rng, power):
    """The stencil, applied by the convolution of the package, is the operator that the coefficients say."""
    stencil, h = rng.normal(size=3), 0.3
    x = 0.7 + h * np.arange(8)
    applied = ops.convolve(monomial(x, power, 0)[None, :, None], stencil[:, None, None])[0, :, 0]
    found = operators.coefficients(stencil, h)
    exact = sum(found[a] * monomial(x, power, a) for a in range(3))
    np.testing.assert_allclose(applied[1:-1], exact[1:-1], rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("powers", np.ndindex(3, 3), ids=str)
def test_derivatives_of_polynomials_in_2d(rng, powers):
    stencil, (hx, hy) = rng.normal(size=(3, 3)), (0.3, 0.2)
    x, y = (0.7 + hx * np.arange(6))[:, None], (-0.5 + hy * np.arange(7))[None, :]
    sampled = monomial(x, powers[0], 0) * monomial(y, powers[1], 0)
    applied = ops.convolve(sampled[None, :, :, None], stencil[:, :, None, None])[0, :, :, 0]
    found = operators.coefficients(stencil, (hx, hy))
    exact = sum(found[a, b] * monomial(x, powers[0], a) * monomial(y, powers[1], b) for a in range(3) for b in range(3))
    np.testing.assert_allclose(applied[1:-1, 1:-1], exact[1:-1, 1:-1], rtol=1e-13, atol=1e-13)


def test_operators_give_the_derivatives_of_a_polynomial():
    """The other direction: the stencil of d2/dxdy + 2 d2/dx2, applied to x^2 y + 3 y^2."""
    unit = np.zeros((3, 3))
    unit[1, 1], unit[2, 0] = 1, 2
    kernel = operators.stencil(unit, (0.5, 0.25))[:, :, None, None]
    x, y = (0.5 * np.arange(6))[:, None], (0.25 * np.arange(6))[None, :]
    applied = ops.convolve((x**2 * y + 3 * y**2)[None, :, :, None], kernel)[0, 1:-1, 1:-1, 0]
    np.testing.assert_allclose(applied, (2 * x + 4 * y)[1:-1, 1:-1], rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("space", [(8,), (8, 8)], ids=str)
def test_every_entry_of_a_block_is_a_stencil_of_its_own(rng, space):
    block = layers.HamiltonianBlock(4, filters=5)
    block.build((None, *space, 4))
    block.kernel.assign(rng.normal(size=block.kernel.shape))
    axes = tuple(range(2, 2 + len(space)))
    found = operators.coefficients(block.kernel, widths(axes))
    assert found.shape == tuple(block.kernel.shape)
    kernel = keras.ops.convert_to_numpy(block.kernel)
    j, field, c, filters = 3, 1, 0, 4
    single = operators.coefficients(kernel[j, field, ..., c, filters], widths(axes))
    np.testing.assert_allclose(found[j, field, ..., c, filters], single, rtol=1e-14, atol=1e-15)


def test_axes_of_other_arrays(rng):
    stencil = rng.normal(size=(3, 3))
    found = operators.coefficients(stencil, (0.3, 0.2))
    many = np.broadcast_to(stencil.T[None, :, None, :], (7, 3, 2, 3))
    swapped = operators.coefficients(many, (0.3, 0.2), axes=(-1, 1))
    np.testing.assert_allclose(swapped[4, :, 1, :], found.T, rtol=1e-14)
    np.testing.assert_allclose(operators.stencil(swapped, (0.3, 0.2), axes=(-1, 1)), many, rtol=1e-13, atol=1e-13)
    rows = operators.coefficients(stencil, 0.2, axes=1)
    np.testing.assert_allclose(rows[2], operators.coefficients(stencil[2], 0.2), rtol=1e-14)


@every_shape
def test_parts_add_up_and_have_one_order_each(rng, shape, axes):
    stencil = rng.normal(size=shape)
    found = operators.parts(stencil)
    assert tuple(found) == operators.GROUPS[: 2 + len(axes)]
    np.testing.assert_allclose(sum(found.values()), stencil, rtol=1e-13, atol=1e-13)
    for group, part in zip(operators.GROUPS, found.values(), strict=False):
        nonzero = np.abs(operators.coefficients(part, widths(axes))) > 1e-12
        orders = np.indices(shape)[list(axes)].sum(axis=0)[nonzero]
        expected = {"reaction": {0}, "convection": {1}, "diffusion": {2}, "higher": {3, 4}}[group]
        assert set(orders) <= expected and orders.size


def test_summary_of_pure_operators():
    laplacian = np.array([[0, 1, 0], [1, -4, 1], [0, 1, 0]])
    gradient = np.zeros((3, 3, 1, 2))
    gradient[[0, 2], 1, 0, 0] = gradient[1, [0, 2], 0, 1] = -1, 1
    assert operators.summary(laplacian) == {"reaction": 0, "convection": 0, "diffusion": 1, "higher": 0}
    assert operators.summary(gradient) == {"reaction": 0, "convection": 1, "diffusion": 0, "higher": 0}
    assert operators.summary(np.zeros((2, 1, 3, 1, 1))) == {"reaction": 0, "convection": 0, "diffusion": 0}


def test_summary_by_hand():
    """A forward difference is d/dx + h/2 d2/dx2, of norms sqrt(2) / 2 and sqrt(6) / 2 as stencils."""
    shares = operators.summary([0.0, -2.0, 2.0])
    convection = math.sqrt(2) / (math.sqrt(2) + math.sqrt(6))
    assert shares["reaction"] == 0
    assert abs(shares["convection"] - convection) < 1e-14
    assert abs(shares["diffusion"] - (1 - convection)) < 1e-14


@pytest.mark.parametrize(
    ("shape", "squares"),
    [((3, 200, 200), [3, 1, 3]), ((3, 3, 200, 200), [9, 6, 27, 15])],
    ids=["1D", "2D"],
)
def test_summary_of_random_entries(rng, shape, squares):
    """The expected square of the norm of each part, for entries of variance 1, is that of its projection."""
    shares = operators.summary(rng.normal(size=shape))
    np.testing.assert_allclose(list(shares.values()), np.sqrt(squares) / np.sum(np.sqrt(squares)), rtol=0.02)


@pytest.mark.parametrize("shape", [(3, 2, 2), (2, 2, 3, 3, 4, 5)], ids=str)
def test_shares_are_the_summaries_of_single_stencils(rng, shape):
    kernel = rng.normal(size=shape)
    space = (0,) if len(shape) == 3 else (2, 3)
    first = tuple(slice(None) if axis in space else 0 for axis in range(len(shape)))
    kernel[first] = 0
    found = operators.shares(kernel)
    others = tuple(size for axis, size in enumerate(shape) if axis not in space)
    assert {values.shape for values in found.values()} == {others}
    for index in np.ndindex(*others):
        expected = operators.summary(np.moveaxis(kernel, space, range(len(space)))[(..., *index)])
        assert {group: values[index] for group, values in found.items()} == pytest.approx(expected, abs=1e-14)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((), r"Received: stencil of shape \(\)"),
        ((5,), r"length 3 on its space axes \(0,\).*Received: stencil of shape \(5,\)"),
        ((3, 5), r"Received: stencil of shape \(3, 5\)"),
        ((1, 1, 2, 2), r"Received: stencil of shape \(1, 1, 2, 2\)"),
        ((3, 3, 3, 4, 4), r"Received: stencil of shape \(3, 3, 3, 4, 4\)"),
        ((2, 1, 3, 3, 3, 4, 4), r"Received: stencil of shape \(2, 1, 3, 3, 3, 4, 4\)"),
    ],
    ids=str,
)
@pytest.mark.parametrize(
    "function", [lambda s: operators.coefficients(s, 1.0), operators.parts, operators.shares, operators.summary]
)
def test_refuses_shapes(function, shape, message):
    with pytest.raises(ValueError, match=message):
        function(np.ones(shape))


@pytest.mark.parametrize("function", [operators.coefficients, operators.stencil], ids=lambda f: f.__name__)
def test_refuses(function):
    stencil = np.ones((3, 3))
    for h in (0, -1.0, math.nan, math.inf, "wide", None, True):
        with pytest.raises(ValueError, match=f"Received: mesh_width={h!r}"):
            function(stencil, h)
    with pytest.raises(ValueError, match=r"one per space axis \(2\).*Received: mesh_width=\(1.0, 1.0, 1.0\)"):
        function(stencil, (1.0, 1.0, 1.0))
    for axes in ((), (0, 0), (0, -2), (0, 1, 1), (2,), 0.5, "x"):
        with pytest.raises(ValueError, match="Received: axes="):
            function(stencil, 1.0, axes=axes)
    with pytest.raises(ValueError, match=r"must be an array of numbers. Received: (stencil|coefficients)=\[\[1, 2\]"):
        function([[1, 2], [3]], 1.0)
    with pytest.raises(ValueError, match=r"Received: coefficients of shape \(4,\)"):
        operators.stencil(np.ones(4), 1.0)
