import numpy as np
import pytest

from keras_pdecnn import ops

INTEGRATORS = [ops.forward_euler, ops.verlet, ops.leapfrog]
REVERSIBLE = [ops.verlet, ops.leapfrog]


def linear(matrices):
    """Return F(index, x, factor) = factor * x A_index."""
    return lambda index, x, factor=1.0: factor * (x @ matrices[index])


@pytest.fixture
def matrices(rng):
    return [rng.normal(size=(4, 4)), rng.normal(size=(4, 4))]


def test_forward_euler_formula(rng, matrices):
    y = rng.normal(size=(3, 4))
    (new,) = ops.forward_euler.step(linear(matrices), 0.3, (y,))
    np.testing.assert_allclose(new, y + 0.3 * y @ matrices[0], rtol=1e-14)


def test_verlet_formula(rng, matrices):
    y, z = rng.normal(size=(2, 3, 4))
    new_y, new_z = ops.verlet.step(linear(matrices), 0.3, (y, z))
    np.testing.assert_allclose(new_y, y + 0.3 * z @ matrices[0], rtol=1e-13)
    np.testing.assert_allclose(new_z, z - 0.3 * new_y @ matrices[1], rtol=1e-13)


def test_leapfrog_formula(rng, matrices):
    older, y = rng.normal(size=(2, 3, 4))
    new, velocity = ops.leapfrog.step(linear(matrices), 0.3, (y, y - older))
    np.testing.assert_allclose(new, 2 * y - older + 0.3**2 * y @ matrices[0], rtol=1e-12)
    np.testing.assert_allclose(velocity, new - y, rtol=1e-12)


@pytest.mark.parametrize("integrator", REVERSIBLE, ids=lambda i: i.name)
def test_undo_takes_a_step_back(rng, matrices, integrator):
    state = tuple(rng.normal(size=(2, 3, 4)))
    back = integrator.undo(linear(matrices), 0.3, integrator.step(linear(matrices), 0.3, state))
    np.testing.assert_allclose(back, state, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("integrator", INTEGRATORS, ids=lambda i: i.name)
def test_only_compositions_of_shears_are_reversible(integrator):
    assert integrator.is_reversible == (integrator in REVERSIBLE)


@pytest.mark.parametrize("integrator", INTEGRATORS, ids=lambda i: i.name)
def test_start_and_finish_are_inverse(rng, integrator):
    y = rng.normal(size=(2, 3, 3, 4))
    np.testing.assert_array_equal(integrator.finish(integrator.start(y)), y)


def test_verlet_keeps_area(rng, matrices):
    """The determinant of a composition of shears is 1, whatever the step size."""
    F = linear(matrices)
    columns = [np.concatenate(ops.verlet.step(F, 0.9, (e[None, :4], e[None, 4:])), axis=-1)[0] for e in np.eye(8)]
    assert abs(np.linalg.det(np.array(columns)) - 1) < 1e-12


def test_leapfrog_follows_the_wave_equation_to_second_order():
    """For y'' = -y the start y_{-1} = y_0 is the cosine shifted by h / 2; against that the error is O(h^2)."""

    def error(steps):
        h = 1.0 / steps
        state = (np.array([np.cos(h / 2)]), np.array([0.0]))
        for _ in range(steps):
            state = ops.leapfrog.step(lambda index, y, factor=1.0: -factor * y, h, state)
        return abs(state[0][0] - np.cos(1 + h / 2))

    orders = np.log2([error(n) / error(2 * n) for n in (16, 32, 64)])
    assert np.all(np.abs(orders - 2) < 0.1)
