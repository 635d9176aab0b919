"""Weights on another grid: more steps, other mesh widths."""

import dataclasses
import itertools

import keras
import numpy as np
import pytest

from keras_pdecnn import layers, models, operators, ops, training
from keras_pdecnn.recipes import Recipe
from keras_pdecnn.regularizers import TimeSmoothness


def gap(a, b):
    return np.max(np.abs(np.asarray(a, float) - np.asarray(b, float)))


# In time.


def network(build=models.ParabolicCNN, steps=4, **settings):
    return build((8, 8, 3), 3, widths=(4, 6), steps=steps, step_size=0.25, time_smoothness=1e-3, **settings)


@pytest.fixture
def images(rng):
    return rng.uniform(0, 255, size=(4, 8, 8, 3)).astype("float32")


@pytest.mark.parametrize("kind", ["linear", "constant"])
def test_interpolation(kind, rng):
    matrix = ops.time_basis.interpolation
    assert np.array_equal(matrix(3, 6, kind)[::2], np.eye(3))
    for steps, new in itertools.product((1, 3, 4), (1, 3, 8)):
        assert gap(matrix(steps, new, kind) @ np.ones(steps), np.ones(new)) < 1e-15
        assert gap(matrix(2 * steps, steps, kind) @ matrix(steps, 2 * steps, kind), np.eye(steps)) == 0
    times = np.arange(12) / 12
    expected = np.minimum(times, 3 / 4) if kind == "linear" else np.floor(4 * times) / 4
    assert gap(matrix(4, 12, kind) @ (np.arange(4) / 4), expected) < 1e-15


@pytest.mark.parametrize("build", [models.ParabolicCNN, models.HamiltonianCNN], ids=lambda build: build.__name__)
def test_network_without_a_basis_is_refined_and_coarsened_again(build, images, randomize):
    model = randomize(network(build))
    finer = model.with_steps(8)
    for block, old in zip(finer.blocks, model.blocks, strict=True):
        assert (block.steps, block.step_size, block.kernel.shape[0]) == (8, 0.125, 8)
        assert block.kernel_regularizer.step_size == 0.125
        assert gap(block.kernel[::2], old.kernel) == 0
        assert gap(block.bias[1], (old.bias[0] + old.bias[1]) / 2) < 1e-6
    again = finer.with_steps(4)
    assert all(gap(a, b) == 0 for a, b in zip(again.get_weights(), model.get_weights(), strict=True))
    assert gap(again(images), model(images)) == 0
    for settings in ({"interpolation": "cubic"}, {"optimizer_state": True}, {"optimizer_state": "yes"}):
        with pytest.raises(ValueError, match=f"Received: {next(iter(settings))}="):
            model.with_steps(8, **settings)


def test_output_changes_by_the_step_size(float64, rng, randomize):
    """With twice the steps, the output changes by half as much each time."""
    y = rng.normal(size=(2, 4, 4, 2))
    layer = layers.ParabolicBlock(4, 0.25, activation="tanh", normalization=None)
    layer.build(y.shape)
    randomize(layer, 0.2)
    outputs = []
    for steps in (16, 32, 64, 128):
        block = layer.with_steps(steps)
        block.build(y.shape)
        matrix = ops.time_basis.interpolation(4, steps)
        block.set_weights([np.tensordot(matrix, weight, 1) for weight in layer.get_weights()])
        outputs.append(block(y))
    changes = [gap(a, b) for a, b in itertools.pairwise(outputs)]
    assert np.all(np.abs(np.log2(np.divide(changes[:-1], changes[1:])) - 1) < 0.2)


def test_accelerated_block_keeps_its_time(float64, rng, randomize):
    """With kernels that are constant in time, cycles that reach the same time damp slow components alike."""
    block = layers.ParabolicBlock(4, 0.1, scheme="accelerated", activation="linear", normalization=None, use_bias=False)
    y = rng.normal(size=(2, 5, 5, 2))
    block.build(y.shape)
    kernel = 0.02 * rng.normal(size=block.kernel.shape[1:])
    changes = []
    for steps in (4, 8, 2):
        other = block.with_steps(steps)
        assert other.step_size * (steps**2 + steps) == pytest.approx(block.step_size * (4**2 + 4), rel=1e-12)
        other.build(y.shape)
        other.kernel.assign(np.broadcast_to(kernel, other.kernel.shape))
        changes.append(other(y) - y)
    for change in changes[1:]:
        assert gap(change, changes[0]) < 0.01 * np.max(np.abs(changes[0]))
    automatic = layers.ParabolicBlock(4, "auto", scheme="accelerated")
    assert automatic.with_steps(8).max_step_size == pytest.approx(20 / 72, rel=1e-12)


@pytest.mark.parametrize("optimizer", ["sgd", pytest.param("adam", marks=pytest.mark.slow)])
def test_training_goes_on_with_the_moments(optimizer, eager, images):
    labels = np.arange(4) % 3
    keras.utils.set_random_seed(1)
    model = network()
    chosen = keras.optimizers.get({"sgd": keras.optimizers.SGD(0.02, momentum=0.9), "adam": "adam"}[optimizer])
    model.compile(chosen, "sparse_categorical_crossentropy")
    model.fit(images, labels, epochs=4, verbose=0)
    before = model.evaluate(images, labels, verbose=0)
    finer = model.with_steps(8, optimizer_state=True)
    assert finer.evaluate(images, labels, verbose=0) < 1.1 * before
    assert int(finer.optimizer.iterations) == int(model.optimizer.iterations) == 4
    pairs = zip(finer.optimizer.variables, model.optimizer.variables, strict=True)
    for new, old in pairs:
        assert gap(new[::2] if new.shape != old.shape else new, old) < 1e-7
    finer.fit(images, labels, verbose=0)
    assert int(finer.optimizer.iterations) == 5
    assert int(model.with_steps(8).optimizer.iterations) == 0


# In space.


def dense(kernel, sizes, padding):
    """Return the matrix of a convolution from one channel to one on a grid."""
    count = int(np.prod(sizes))
    units = np.eye(count).reshape((count, *sizes, 1))
    return np.asarray(ops.convolve(units, kernel[..., None, None], padding)).reshape(count, count).T


def average(sizes):
    """Return the matrix R, which averages the fine pixels of a coarse one."""
    matrix = np.ones((1, 1))
    for size in sizes:
        matrix = np.kron(matrix, np.kron(np.eye(size // 2), np.full((1, 2), 0.5)))
    return matrix


@pytest.mark.parametrize("padding", ["same", "periodic"])
@pytest.mark.parametrize(("sizes", "kernel"), [((8,), (3,)), ((16,), (5,)), ((8, 6), (3, 3)), ((6, 6, 6), (3, 1, 3))])
def test_galerkin_product(sizes, kernel, padding, rng, float64):
    stencil = rng.normal(size=kernel)
    coarse = operators.coarsen(stencil, tuple(range(len(kernel))))
    R = average(sizes)
    expected = R @ dense(stencil, sizes, padding) @ (2 ** len(sizes) * R.T)
    assert gap(dense(coarse, tuple(n // 2 for n in sizes), padding), expected) < 1e-13


@pytest.mark.parametrize(
    ("shape", "axes"), [((3,), None), ((3, 3, 2, 5), None), ((2, 1, 3, 3, 2, 5), None), ((3, 3, 3, 2, 2), (0, 1, 2))]
)
def test_refine_is_the_inverse_of_coarsen(shape, axes, rng):
    kernel = rng.normal(size=shape)
    assert gap(operators.refine(operators.coarsen(kernel, axes), axes), kernel) < 1e-13
    assert gap(operators.coarsen(operators.refine(kernel, axes), axes), kernel) < 1e-13
    there = operators.rediscretize(kernel, 0.5, 2.0, axes)
    assert gap(operators.rediscretize(there, 2.0, 0.5, axes), kernel) < 1e-13


def test_operators_on_the_other_grid(rng):
    stencil = rng.normal(size=(3, 3))
    before = operators.coefficients(stencil, 1.0)
    kept = operators.coefficients(operators.rediscretize(stencil, 1.0, 2.0), 2.0)
    assert gap(kept, before) < 1e-13
    galerkin = operators.coefficients(operators.coarsen(stencil), 2.0)
    factor = np.array([1.0, 1.0, 2.0])  # by the order on an axis: second derivatives double
    assert gap(galerkin, before * factor[:, None] * factor) < 1e-13


@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        (operators.coarsen, ([1.0, 2.0],)),
        (operators.refine, (np.ones((5, 5, 2, 2)),)),
        (operators.rediscretize, (np.ones(3), 1.0, 0.0)),
        (operators.coarsen, (np.ones(3), (0, 0))),
        (operators.coarsen, ("kernel",)),
    ],
)
def test_wrong_kernels_are_refused(function, arguments):
    with pytest.raises(ValueError, match="Received: "):
        function(*arguments)


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_network_at_another_resolution(data_format, images, randomize):
    shape = (8, 8, 3) if data_format == "channels_last" else (3, 8, 8)
    model = randomize(models.HamiltonianCNN(shape, 3, widths=(4, 6), data_format=data_format))
    half = model.at_resolution(0.5, "galerkin")
    assert half.input_shape[1:] == ((4, 4, 3) if data_format == "channels_last" else (3, 4, 4))
    for new, old in zip(half.blocks, model.blocks, strict=True):
        assert gap(new.kernel, operators.coarsen(old.kernel)) < 1e-6
        assert gap(new.bias, old.bias) == 0
    back = half.at_resolution(2, "galerkin")
    assert gap(model.at_resolution(0.5).blocks[0].kernel, model.blocks[0].kernel) == 0
    x = images if data_format == "channels_last" else np.moveaxis(images, -1, 1)
    assert gap(back(x), model(x)) < 1e-5
    same = model.at_resolution(0.5, "operators").at_resolution(2, "operators")
    assert gap(same.get_layer("opening").kernel, model.get_layer("opening").kernel) < 1e-6


def test_wrong_resolutions_are_refused():
    model = models.ParabolicCNN((8, 8, 1), 3, widths=(4, 4))
    for factor in (0, 3, 1 / 16, "half"):
        with pytest.raises(ValueError, match="Received: factor="):
            model.at_resolution(factor)
    with pytest.raises(ValueError, match="Received: method="):
        model.at_resolution(2, "wavelets")
    provable = models.ParabolicCNN((8, 8, 1), 3, widths=(4,), provable=True)
    with pytest.raises(ValueError, match="Received: factor="):
        provable.at_resolution(2)


def test_regulariser_of_a_smooth_theta_keeps_its_value():
    values = [
        float(TimeSmoothness(1e-2, 1e-2, 1 / n)(np.sin(np.arange(n) / n)[:, None].astype("float32"))) for n in (64, 128)
    ]
    assert values[0] == pytest.approx(values[1], rel=0.02)


# Level by level.


def test_training_level_by_level(images, eager):
    labels = np.arange(4) % 3
    keras.utils.set_random_seed(1)
    model = network(steps=4)
    model.compile(keras.optimizers.SGD(0.01, momentum=0.9), "sparse_categorical_crossentropy", metrics=["accuracy"])
    levels = [training.Level(1, 1, factor=1 / 2), training.Level(2, 2), training.Level(4, 1)]
    trained, history = training.fit_levels(model, levels, images, labels, (images, labels), verbose=0)
    assert [block.steps for block in trained.blocks] == [4, 4]
    assert trained.input_shape == model.input_shape
    assert len(history["loss"]) == len(history["val_accuracy"]) == int(trained.optimizer.iterations) == 4
    with pytest.raises(ValueError, match="Received: levels="):
        training.fit_levels(model, [], images, labels)
    with pytest.raises(ValueError, match="Received: factor="):
        training.shrink(images, 1 / 3)


def test_default_levels():
    for steps, epochs in ((12, 10), (12, 1), (3, 7), (1, 5), (2, 3)):
        levels = training.default_levels(steps, epochs)
        assert levels[-1].steps == steps
        assert sum(level.epochs for level in levels) == epochs
        assert sum(level.epochs * level.steps for level in levels) <= epochs * steps


def test_levels_of_a_recipe():
    recipe = Recipe(steps=12, epochs=10, learning_rates=0.1, refinement=("3:5:1/2", "6:2"))
    assert [str(level) for level in recipe.levels] == ["3:5:1/2", "6:2", "12:3"]
    assert Recipe.from_dict(recipe.to_dict()) == recipe
    automatic = dataclasses.replace(recipe, refinement="auto")
    assert automatic.levels == training.default_levels(12, 10)
    for wrong in ("3", "3:0", "3:x", "3:1:1/3", "3:1:2", "3:10", "12:1", ("6:1", "3:1"), ("3:1", "3:1:1/2"), "1+2+3:1"):
        with pytest.raises(ValueError, match=r"Received: (refinement|steps)="):
            dataclasses.replace(recipe, refinement=wrong)


# To a tolerance.


def test_number_of_steps_follows_from_the_tolerance(images, randomize):
    model = randomize(network(time_basis="cosine", basis_size=2, activation="tanh"), 0.1)
    exact = model.with_steps(64)(images)
    errors, costs = [], []
    for tolerance in (0.1, 1e-2):
        solved = model.adaptive(tolerance, max_steps=32)
        errors.append(gap(solved.predict(images, verbose=0), exact))
        blocks = [layer for layer in solved.layers if hasattr(layer, "counts")]
        assert [layer.name for layer in blocks] == ["block_1", "block_2"]
        costs.append(sum(layer.evaluations for layer in blocks))
    assert errors[1] < min(errors[0], 3e-2)
    assert costs[1] > costs[0] > 0
    for settings in ({"tolerance": 0}, {"max_steps": 0}):
        with pytest.raises(ValueError, match=f"Received: {next(iter(settings))}=0"):
            model.adaptive(**settings)


def test_an_adaptive_model_has_weights_of_its_own(images, randomize):
    model = randomize(network(steps=2), 0.1)
    model.compile("sgd", "mse", metrics=["mae"])
    expected = model.adaptive(0.1, max_steps=4).predict(images, verbose=0)
    solved = model.adaptive(0.1, max_steps=4)
    before = solved.get_weights()
    randomize(model)
    assert gap(solved.predict(images, verbose=0), expected) == 0
    assert all(map(np.array_equal, solved.get_weights(), before))
    assert set(solved.evaluate(images, np.eye(4, 3), verbose=0, return_dict=True)) == {"loss", "mae"}
