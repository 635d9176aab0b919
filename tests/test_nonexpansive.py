"""Parabolic steps at their limit bring any two inputs closer together, with a provable normalisation; "tv" does not."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_pdecnn import layers, training
from keras_pdecnn.recipes import Recipe
from keras_pdecnn.stability import step_limit

SPACE = (7, 6)
ROUNDING = 1e-12  # float64, relative to a distance that is not small beside the features
MODES = [(None, "relu"), (None, "tanh"), ("scale", "relu"), ("shrinkage", "relu"), ("shrinkage", "linear")]
every_mode = pytest.mark.parametrize(("normalization", "activation"), MODES, ids=str)


def random_block(rng, normalization, activation="relu", kernel_size=3, padding="same", factor=1.0):
    """Return a block of two steps with random weights, whose step size is a multiple of the limit."""
    settings = {"normalization": normalization, "activation": activation, "kernel_size": kernel_size, "filters": 5}
    block = layers.ParabolicBlock(2, padding=padding, **settings)
    block.build((None, *SPACE, 4))
    for weight in block.weights:
        values = rng.normal(size=weight.shape)
        weight.assign(np.maximum(1 + 2 * values, 0) if weight.name == "scale" else values)
    return at_limit(block, factor)


def at_limit(block, factor=1.0):
    """Return a block of float64 with the weights of another, and the least of its limits, times a factor, as h."""
    h = factor * float(step_limit(block).min())
    config = {**block.get_config(), "dtype": "float64", "step_size": h}
    copy = type(block).from_config(config)
    copy.build((None, *SPACE, block.kernel.shape[-2]))
    copy.set_weights(block.get_weights())
    return copy


def growth(block, y, difference):
    """Return by how much the block enlarges the distance of each pair y, y + difference."""
    lengths = [tf.norm(tf.reshape(d, (len(d), -1)), axis=1) for d in (block(y + difference) - block(y), difference)]
    return lengths[0] / lengths[1]


def structured_pairs(rng, channels):
    """Return pairs that are no random ones: constants, waves, single pixels, opposites, steps across 0."""
    rows, columns = np.meshgrid(*map(np.arange, SPACE), indexing="ij")
    patterns = np.stack([np.ones(SPACE), (-1.0) ** rows, (-1.0) ** (rows + columns), rows - 3.0, 0.0 * rows])
    patterns[4, 3, 3] = 1.0
    vectors = np.concatenate([np.eye(channels), np.ones((1, channels)), rng.normal(size=(3, channels))])
    fields = np.einsum("pij,vc->pvijc", patterns, vectors).reshape(-1, *SPACE, channels)
    starts = [0 * fields, -fields, -fields / 2, 3 * np.roll(fields, 7, axis=0), rng.normal(size=fields.shape)]
    y, difference = np.concatenate(starts), np.concatenate([fields] * len(starts))
    return np.concatenate([y, 1e-3 * y, 1e3 * y]), np.concatenate([difference, 1e-3 * difference, 1e3 * difference])


def random_pairs(rng, channels, count):
    scales = 10.0 ** rng.uniform(-3, 3, size=(2, count, 1, 1, 1))
    y, difference = scales * rng.normal(size=(2, count, *SPACE, channels))
    return y, np.maximum(scales[1], 1e-3 * scales[0]) / scales[1] * difference


def ascend(block, y, difference, steps=80):
    """Return the largest growth found on the way of gradient ascent over y and the difference."""
    y, difference = tf.Variable(y), tf.Variable(difference)
    optimizer = keras.optimizers.Adam(0.05)
    optimizer.build([y, difference])

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            found = growth(block, y, difference)
            loss = -tf.reduce_sum(tf.math.log(found + 1e-30))
        gradients = tape.gradient(loss, [y, difference])
        optimizer.apply(gradients, [y, difference])
        return tf.reduce_max(found)

    return max(float(step()) for _ in range(steps))


def largest_growth(block, rng, count=2000):
    """Return the largest growth over random, structured and adversarial pairs, and that of the latter alone."""
    channels = block.kernel.shape[-2]
    passive = [random_pairs(rng, channels, count), structured_pairs(rng, channels)]
    found = [float(tf.reduce_max(growth(block, *pairs))) for pairs in passive]
    scales = 10.0 ** rng.uniform(-2, 0, size=(1, 48, 1, 1, 1))
    attacked = ascend(block, *(scales * rng.normal(size=(2, 48, *SPACE, channels))))
    return max(*found, attacked), attacked


@every_mode
@pytest.mark.parametrize(("kernel_size", "padding"), [(1, "same"), (3, "same"), (3, "periodic")])
def test_provable_steps_never_expand_at_the_limit(float64, rng, normalization, activation, kernel_size, padding):
    block = random_block(rng, normalization, activation, kernel_size, padding)
    found, attacked = largest_growth(block, rng)
    assert found <= 1 + ROUNDING
    # The ascent is one: it finds pairs that are hardly brought closer together.
    assert attacked > 0.99


@every_mode
def test_above_the_limit_they_may_expand(float64, rng, normalization, activation):
    block = random_block(rng, normalization, activation, kernel_size=1, factor=3.0)
    # Without a bias, features near 0 are where the slopes are 1.
    block.bias.assign(0 * block.bias)
    assert largest_growth(block, rng, count=10)[0] > 1.1


def test_the_papers_steps_expand_at_and_below_the_number_given(float64, rng):
    block = random_block(rng, "tv")
    assert largest_growth(block, rng, count=100)[0] > 10
    # A step that makes up for the Lipschitz constant of N_tv, 1 / sqrt(epsilon), expands as well.
    assert largest_growth(random_block(rng, "tv", factor=1e-3**0.5), rng, count=100)[0] > 1.002


@pytest.mark.slow
@pytest.mark.parametrize(("factor", "normalization"), [(0.01, "shrinkage"), (1.0, "scale"), (100.0, None)])
def test_provable_networks_train_from_kernels_of_any_size(rng, factor, normalization):
    settings = {"architecture": "parabolic", "widths": (8, 16), "step_size": "auto", "normalization": normalization}
    # Without decay the loss is the cross-entropy alone, and without augmentation it falls soon.
    plain = {"weight_decay": 0.0, "pad": 0.0, "rotate": 0.0, "zoom": 0.0}
    recipe = Recipe(**settings, **plain, learning_rates=(0.05,), epochs=(4,))
    dataset = training.load_data(recipe)
    model = training.build(recipe, dataset.info)
    for block in model.blocks:
        block.kernel.assign(factor * block.kernel)
    training.compile(model, recipe, dataset.steps_per_epoch)
    losses = training.fit(model, dataset, recipe, verbose=0).history["loss"]
    assert np.all(np.isfinite(losses))
    # From ln 10 = 2.3.
    assert losses[-1] < 1.0
    # Trained weights, at and above the step size of the training.
    for block in model.blocks:
        assert float(block.current_step_size()) <= 0.9 * step_limit(block).min()
        assert largest_growth(at_limit(block), rng)[0] <= 1 + ROUNDING
