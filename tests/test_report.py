"""The report of every step, and the callback that watches it."""

import dataclasses
import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_pdecnn import layers, models, ops, stability
from keras_pdecnn.callbacks import StabilityMonitor
from keras_pdecnn.stability.jacobian import spectral_radius
from keras_pdecnn.stability.report import passed_limits, report

BLOCKS = {
    "parabolic": layers.ParabolicBlock,
    "hamiltonian": layers.HamiltonianBlock,
    "second_order": layers.SecondOrderBlock,
    "residual": layers.ResidualBlock,
}
every_architecture = pytest.mark.parametrize("architecture", BLOCKS)
SHAPE = (6, 6, 2)


def network(architecture, randomize, scale=0.3, **settings):
    settings = {"widths": (4,), "steps": 2, "step_size": 0.5, "activation": "tanh", **settings}
    model = models.ARCHITECTURES[architecture](settings.pop("input_shape", SHAPE), 3, **settings)
    for block in model.blocks:
        randomize(block, scale)
    return model


def dense_jacobian(block, j, state):
    """Return the matrix of the Jacobian of step j at a state, column by column from differences in float64."""
    sizes = [part.size for part in state]

    def step(vector):
        parts = np.split(vector, np.cumsum(sizes)[:-1])
        theta = {name: tf.cast(weight[j], tf.float64) for name, weight in block.theta().items()}
        parts = tuple(tf.constant(part.reshape(like.shape)) for part, like in zip(parts, state, strict=True))
        field = ops.Field(block.activation, block.normalization, block.epsilon, block.padding, block.symmetric)
        return np.concatenate([np.ravel(part) for part in block.integrator.step(field.bind(theta), 0.5, parts)])

    centre = np.concatenate([part.ravel() for part in state])
    columns = [(step(centre + 1e-6 * e) - step(centre - 1e-6 * e)) / 2e-6 for e in np.eye(len(centre))]
    return np.stack(columns, axis=1)


@every_architecture
def test_spectral_radius_is_that_of_the_dense_jacobian(architecture, randomize, rng):
    model = network(architecture, randomize)
    block, x = model.blocks[0], rng.uniform(0, 255, (1, *SHAPE))
    y = keras.Model(model.input, block.input)(np.float32(x))
    rows = report(model, x)
    state = [np.float64(part) for part in block.integrator.start(y)]
    dense = np.abs(np.linalg.eigvals(dense_jacobian(block, 0, state))).max()
    assert rows[0].spectral_radius == pytest.approx(dense, rel=2e-3)


def test_sequential_models_have_a_report(rng):
    model = keras.Sequential([keras.Input(SHAPE), layers.ParabolicBlock(2), keras.layers.Flatten()])
    assert [row.step for row in report(model, rng.normal(size=(1, *SHAPE)), cheap=True)] == [1, 2]


@every_architecture
def test_rows_are_the_norms_limits_and_trajectories(architecture, randomize, rng):
    model = network(architecture, randomize, widths=(4, 8), steps=(2, 3), normalization=None)
    x = rng.uniform(0, 255, (3, *SHAPE))
    rows = report(model, x, cheap=True)
    assert [(row.block, row.step) for row in rows] == [("block_1", 1), ("block_1", 2)] + [
        ("block_2", step) for step in (1, 2, 3)
    ]
    for block in model.blocks:
        found = [row for row in rows if row.block == block.name]
        assert {row.kind for row in found} == {type(block).__name__}
        norms = stability.operator_norm(block.kernel)
        assert np.array_equal([row.norm_1 for row in found], norms[:, 0])
        two = architecture in ("hamiltonian", "residual")
        assert [row.norm_2 for row in found] == (norms[:, 1].tolist() if two else [None] * len(found))
        if architecture == "residual":
            assert all(row.limit is row.ratio is row.claim is None and not row.is_passed for row in found)
        else:
            limits = stability.step_limit(block)
            assert np.array_equal([row.limit for row in found], limits)
            assert np.allclose([row.ratio for row in found], 0.5 / limits)
            claim = "theorem" if architecture == "parabolic" else "linearisation"
            assert {row.claim for row in found} == {claim}
        y = keras.Model(model.input, block.input)(np.float32(x))
        states = np.asarray(block.trajectory(y))
        energies = np.sqrt(np.mean(np.sum(states**2, axis=(2, 3, 4)), axis=1))
        assert np.allclose([row.energy for row in found], energies[1:], rtol=1e-5)
        assert all(row.spectral_radius is row.round_trip is None for row in found)


def test_with_a_scale_the_limit_is_that_of_the_scaled_kernel(randomize, rng):
    model = network("parabolic", randomize, normalization="scale")
    block = model.blocks[0]
    block.scale.assign(4 * np.ones(block.scale.shape))
    rows = report(model, rng.uniform(0, 255, (1, *SHAPE)), cheap=True)
    norms = stability.operator_norm(block.kernel)[:, 0]
    assert np.array_equal([row.norm_1 for row in rows], norms)
    assert np.array_equal([row.limit for row in rows], stability.step_limit(block))
    assert np.allclose([row.limit for row in rows], 2 / (4 * norms**2), rtol=1e-9)


def test_growth_is_that_of_the_distance(randomize, rng):
    """A linear parabolic block has an exact growth, found with a disturbance of any size."""
    model = network("parabolic", randomize, normalization=None, activation="linear", use_bias=False)
    x = rng.uniform(0, 255, (1, *SHAPE))
    small, large = report(model, x, cheap=True), report(model, x, perturbation=1.0, cheap=True)
    block = model.blocks[0]
    direction = np.random.default_rng(0).normal(size=(1, *SHAPE[:-1], 4))
    states = np.asarray(block.trajectory(direction))
    expected = np.linalg.norm(states.reshape(3, -1), axis=1)
    for rows in (small, large):
        assert np.allclose([row.growth for row in rows], expected[1:] / expected[0], rtol=1e-5)


def test_disturbances_do_not_grow_below_the_limit_and_do_above(randomize, rng):
    x = rng.uniform(0, 255, (4, *SHAPE))
    for factor, passed in ((0.9, False), (3.0, True)):
        settings = {"normalization": None, "activation": "linear", "steps": 3}
        limit = stability.step_limit(network("parabolic", randomize, **settings).blocks[0]).min()
        model = network("parabolic", randomize, **settings)
        block = model.blocks[0]
        block.kernel.assign(block.kernel[:1] * np.ones((3, 1, 1, 1, 1, 1)))
        h = factor * float(stability.step_limit(block)[0])
        block.step_size = h
        rows = report(model, x)
        assert [row.is_passed for row in rows] == [passed] * 3
        assert np.allclose([row.ratio for row in rows], factor)
        assert all((row.growth > 1) == passed for row in rows)
        # The norm is a bound for every size of image, above that of the small one.
        assert all((row.spectral_radius > 1 + 1e-3) == passed for row in rows)
        assert list(passed_limits(rows)) == (["block_1"] if passed else [])
        assert limit > 0


@pytest.mark.parametrize("architecture", ["hamiltonian", "second_order"])
def test_round_trip_is_small_and_grows_with_the_steps_undone(architecture, randomize, rng):
    model = network(architecture, randomize, steps=8)
    rows = report(model, rng.uniform(0, 255, (2, *SHAPE)))
    errors = [row.round_trip for row in rows]
    assert 0 < errors[0] < 1e-5
    assert errors[-1] <= errors[0]
    block = model.blocks[0]
    y = keras.Model(model.input, block.input)(np.float32(rng.uniform(0, 255, (2, *SHAPE))))
    back = block.inverse(block(y)) if architecture == "hamiltonian" else block.inverse(*block.forward(y))
    other = np.linalg.norm(back - y) / np.linalg.norm(y)
    assert 0.1 * other <= errors[0] <= 10 * other


@pytest.mark.parametrize("input_shape", [(9, 2), (4, 4, 4, 1)])
def test_signals_and_volumes(input_shape, randomize, rng):
    model = network("hamiltonian", randomize, input_shape=input_shape)
    rows = report(model, rng.uniform(0, 255, (1, *input_shape)))
    assert all(0.5 < row.spectral_radius < 10 and row.growth > 0 for row in rows)


def test_mixed_precision_is_reported_with_its_own_round_trip(randomize, rng):
    keras.config.set_dtype_policy("mixed_bfloat16")
    model = network("hamiltonian", randomize)
    rows = report(model, rng.uniform(0, 255, (1, *SHAPE)))
    # The state is float32, and undoing a step evaluates the same rounded increment.
    assert rows[0].round_trip < 1e-5
    assert np.isfinite(rows[0].spectral_radius)


def test_activations_without_a_theory_have_no_limit(randomize, rng):
    rows = report(network("parabolic", randomize, activation="gelu"), rng.uniform(0, 255, (1, *SHAPE)), cheap=True)
    assert all(row.limit is None and row.norm_1 > 0 for row in rows)
    paper = report(network("parabolic", randomize), rng.uniform(0, 255, (1, *SHAPE)), cheap=True)
    assert {row.claim for row in paper} == {"comparison"}


@pytest.mark.parametrize("n", [1, 3, 80])
def test_spectral_radius_of_matrices(n, rng):
    """Rotations scaled differently: the dominant eigenvalues are a complex pair, where power iteration oscillates."""
    matrix = rng.normal(size=(n, n)) / np.sqrt(n)
    expected = np.abs(np.linalg.eigvals(matrix)).max()
    found = spectral_radius(lambda state: (state[0] @ tf.constant(matrix.T),), (tf.constant(rng.normal(size=(1, n))),))
    assert found == pytest.approx(expected, rel=2e-3)


@pytest.mark.parametrize("factor", [0.0, 1.0, np.inf])
def test_spectral_radius_of_multiples_of_the_identity(factor):
    assert spectral_radius(lambda state: (factor * state[0],), (tf.ones((1, 300), "float64"),)) == pytest.approx(factor)


@pytest.mark.parametrize("block", [layers.HamiltonianBlock, layers.ParabolicBlock], ids=lambda block: block.__name__)
def test_blocks_with_the_channels_first_have_the_same_rows(block, randomize, rng):
    x, reports, values = rng.normal(size=(2, 5, 6, 4)), [], None
    for place, features in (("last", x), ("first", np.moveaxis(x, -1, 1))):
        layer = block(2, 0.5, data_format=f"channels_{place}", name="block")
        model = keras.Sequential([keras.Input(features.shape[1:]), layer])
        values = randomize(layer).get_weights() if values is None else values
        layer.set_weights(values)
        reports.append(report(model, features))
    for last, first in zip(*reports, strict=True):
        for name, value in dataclasses.asdict(last).items():
            assert getattr(first, name) == (pytest.approx(value, rel=1e-6) if isinstance(value, float) else value), name


def test_wrong_input_is_named(randomize):
    model = network("parabolic", randomize)
    x = np.zeros((1, *SHAPE))
    with pytest.raises(ValueError, match="Received: model=<Sequential"):
        report(keras.Sequential([keras.Input(SHAPE), keras.layers.Flatten()]), x)
    with pytest.raises(ValueError, match="Received: model=3"):
        report(3, x)
    with pytest.raises(ValueError, match=r"Received: shape=\(1, 6, 5, 2\)"):
        report(model, x[:, :, 1:])
    with pytest.raises(ValueError, match="Received: perturbation=0"):
        report(model, x, perturbation=0)
    model.blocks[0].kernel.assign(np.nan * model.blocks[0].kernel)
    with pytest.raises(ValueError, match="kernel must be finite"):
        report(model, x)


def curves(folder):
    """Return {tag: [(step, value), …]} of the event files in a folder."""
    found = {}
    for path in sorted(folder.glob("events.out.tfevents.*")):
        for event in tf.compat.v1.train.summary_iterator(str(path)):
            for value in event.summary.value:
                found.setdefault(value.tag, []).append((event.step, float(tf.make_ndarray(value.tensor))))
    return found


@pytest.fixture
def fitted(randomize, rng, tmp_path):
    """Return a function that fits a network with the callback, and the curves and warnings that gives."""

    def fit(scale, every=1):
        model = network("hamiltonian", randomize, scale, widths=(4, 4), step_size=0.1, normalization=None)
        model.compile(keras.optimizers.SGD(1e-6), "sparse_categorical_crossentropy")
        x, y = rng.uniform(0, 255, (8, *SHAPE)), np.arange(8) % 3
        callbacks = [keras.callbacks.TensorBoard(tmp_path), StabilityMonitor(x[:2], tmp_path, every)]
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            model.fit(x, y, epochs=4, verbose=0, callbacks=callbacks)
        texts = [str(w.message) for w in caught if "h_max" in str(w.message)]
        return model, x, curves(tmp_path / "stability"), texts

    return fit


def test_monitor_writes_curves_that_tensorboard_reads(fitted, tmp_path):
    model, x, found, texts = fitted(0.1)
    assert texts == []
    names = ("norm", "step_ratio", "growth")
    assert set(found) == {f"block_{i}/{name}" for i in (1, 2) for name in names}
    assert all([step for step, _ in values] == [0, 1, 2, 3] for values in found.values())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["stability", "train"]
    rows = [row for row in report(model, x[:2], cheap=True) if row.block == "block_2"]
    last = {name: found[f"block_2/{name}"][-1][1] for name in names}
    assert last["norm"] == pytest.approx(max(max(row.norm_1, row.norm_2) for row in rows), rel=1e-5)
    assert last["step_ratio"] == pytest.approx(max(row.ratio for row in rows), rel=1e-5)
    assert last["growth"] == pytest.approx(rows[-1].growth, rel=1e-5)


def test_monitor_warns_once_per_block_when_a_limit_is_passed(fitted):
    _, _, found, texts = fitted(10.0, every=2)
    assert [step for step, _ in found["block_1/step_ratio"]] == [1, 3]
    assert [text.split(":")[0] for text in texts] == ["At the end of epoch 2"] * 2
    assert ["block_1" in text for text in texts] == [True, False]
    assert all("linearisation" in text for text in texts)


def test_monitor_refuses_what_it_cannot_watch(randomize):
    with pytest.raises(ValueError, match="Received: every=0"):
        StabilityMonitor(np.zeros((1, *SHAPE)), every=0)
    model = network("parabolic", randomize)
    model.compile("sgd", "sparse_categorical_crossentropy")
    with pytest.raises(ValueError, match="Received: shape="):
        model.fit(np.zeros((2, *SHAPE)), np.zeros(2), verbose=0, callbacks=[StabilityMonitor(np.zeros((1, 5, 6, 2)))])
