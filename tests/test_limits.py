import keras
import numpy as np
import pytest

from keras_pdecnn import layers, ops
from keras_pdecnn.stability import step_limit
from keras_pdecnn.stability.limits import LIPSCHITZ

SPACE, CHANNELS, STEPS = (12, 12), 2, 2
PADDINGS = ["same", "periodic"]
every_padding = pytest.mark.parametrize("padding", PADDINGS)


def build(block_class, randomize, steps=STEPS, channels=CHANNELS, **settings):
    block = block_class(steps, **{"normalization": None, "filters": 3, "padding": "periodic", **settings})
    block.build((None, *SPACE, channels))
    return randomize(block, scale=1.0)


def matrix(kernel, padding):
    entries = int(np.prod(SPACE)) * kernel.shape[-2]
    columns = ops.convolve(np.eye(entries).reshape(entries, *SPACE, kernel.shape[-2]), np.float64(kernel), padding)
    return np.asarray(columns).reshape(entries, -1).T


def norms(block):
    kernel = np.asarray(block.kernel)
    return np.array([[np.linalg.norm(matrix(field, block.padding), 2) for field in step] for step in kernel])


@pytest.mark.parametrize(("activation", "lipschitz"), [("relu", 1.0), ("sigmoid", 0.25)])
def test_limits_are_the_formulas(randomize, activation, lipschitz):
    parabolic, second_order, hamiltonian = (
        build(block, randomize, channels=channels, activation=activation)
        for block, channels in [
            (layers.ParabolicBlock, 2),
            (layers.SecondOrderBlock, 2),
            (layers.HamiltonianBlock, 4),
        ]
    )
    for block, expected in [
        (parabolic, 2 / (lipschitz * norms(parabolic)[:, 0] ** 2)),
        (second_order, 2 / (lipschitz**0.5 * norms(second_order)[:, 0])),
        (hamiltonian, 2 / (lipschitz * np.prod(norms(hamiltonian), axis=1))),
    ]:
        found = step_limit(block)
        assert found.shape == (STEPS,)
        # Below the limit of this image, by the tolerance of two norms and the distance to a larger image.
        assert np.all(found <= expected)
        assert np.all(found >= 0.9 * expected)


@pytest.mark.parametrize(("space", "kernel_size"), [((9,), 3), ((4, 4, 4), 1)])
def test_other_numbers_of_space_axes(randomize, space, kernel_size):
    block = layers.ParabolicBlock(STEPS, kernel_size=kernel_size)
    block.build((None, *space, CHANNELS))
    assert np.all(np.isfinite(step_limit(randomize(block))))


def test_a_kernel_of_zeros_has_no_limit(randomize):
    block = build(layers.ParabolicBlock, randomize)
    block.kernel.assign(keras.ops.zeros(block.kernel.shape))
    assert np.array_equal(step_limit(block), [np.inf, np.inf])


def at_limit(block, factor=1.0):
    """Return the block with the smallest of its limits, times a factor, as its step size."""
    h = factor * float(step_limit(block).min())
    copy = type(block).from_config({**block.get_config(), "step_size": h})
    copy.build((None, *SPACE, CHANNELS))
    copy.set_weights(block.get_weights())
    return copy


def growth(block, y, difference):
    """Return by how much a block enlarges the distance of each pair of features."""
    after = np.asarray(block(y + difference) - block(y))
    before, after = (np.linalg.norm(d.reshape(len(y), -1), axis=1) for d in (difference, after))
    return after / before


@every_padding
@pytest.mark.parametrize("steps", [1, 2])
@pytest.mark.parametrize("activation", ["relu", "leaky_relu", "tanh", "linear", "selu"])
def test_parabolic_blocks_do_not_expand_at_the_limit(float64, rng, randomize, padding, activation, steps):
    block = build(layers.ParabolicBlock, randomize, steps=steps, activation=activation, padding=padding)
    top = np.linalg.svd(matrix(block.kernel[0, 0], padding))[2][0].reshape(1, *SPACE, CHANNELS)
    limited = at_limit(block)
    for scale in (0.01, 1.0, 100.0):
        y = scale * rng.normal(size=(50, *SPACE, CHANNELS))
        # Random directions, and the one that the first convolution enlarges most.
        for difference in (rng.normal(size=y.shape), np.repeat(top, 50, axis=0)):
            found = growth(limited, y, scale * difference)
            assert np.all(found <= 1 + 1e-12)
            assert np.all(found > 0)


@every_padding
def test_parabolic_step_expands_above_the_limit(float64, rng, randomize, padding):
    block = build(layers.ParabolicBlock, randomize, steps=1, activation="linear", padding=padding)
    top = np.linalg.svd(matrix(block.kernel[0, 0], padding))[2][0].reshape(1, *SPACE, CHANNELS)
    # 15 % above: the bound, for every size of image, may be up to 10 % below the limit of this one.
    assert growth(at_limit(block, 1.15), 0 * top, top)[0] > 1.05


@pytest.mark.parametrize("activation", LIPSCHITZ, ids=lambda function: function.__name__)
def test_activations_are_non_decreasing_and_lipschitz(activation):
    # The points end close to 0, where some have their steepest slope on one side.
    x = np.concatenate([np.linspace(-30, 0, 300_001), np.linspace(0, 30, 300_001)[1:]])
    slopes = np.diff(np.asarray(activation(keras.ops.convert_to_tensor(x, "float64")))) / np.diff(x)
    assert slopes.min() >= -1e-9
    assert 0.999 * LIPSCHITZ[activation] <= slopes.max() <= LIPSCHITZ[activation] * (1 + 1e-9)


@pytest.mark.parametrize("activation", ["gelu", "swish"])
def test_activations_that_decrease_are_named(randomize, activation):
    name = keras.activations.get(activation).__name__
    with pytest.raises(ValueError, match=f"Received: activation={name}"):
        step_limit(build(layers.ParabolicBlock, randomize, activation=activation))


def test_unknown_activations_are_named(randomize):
    with pytest.raises(ValueError, match="Received: activation=<ReLU"):
        step_limit(build(layers.ParabolicBlock, randomize, activation=keras.layers.ReLU(negative_slope=3.0)))


def test_other_blocks_are_refused(randomize):
    with pytest.raises(ValueError, match=r"nothing makes.*Received: block=<ResidualBlock"):
        step_limit(build(layers.ResidualBlock, randomize))
    with pytest.raises(ValueError, match="Received: block=3"):
        step_limit(3)
    with pytest.raises(ValueError, match=r"must be built.*Received: block=<ParabolicBlock"):
        step_limit(layers.ParabolicBlock(2))


def test_normalized_steps_may_expand_below_the_number_given(float64, rng, randomize):
    plain = build(layers.ParabolicBlock, randomize, steps=1, use_bias=False)
    normalized = build(layers.ParabolicBlock, randomize, steps=1, use_bias=False, normalization="tv")
    normalized.set_weights([*plain.get_weights(), np.ones(normalized.scale.shape)])
    assert np.array_equal(step_limit(normalized), step_limit(plain))
    # Close to 0, N_tv multiplies by 1 / sqrt(epsilon).
    y, difference = np.zeros((1, *SPACE, CHANNELS)), 1e-3 * rng.normal(size=(1, *SPACE, CHANNELS))
    assert growth(at_limit(plain), y, difference)[0] <= 1
    assert growth(at_limit(normalized), y, difference)[0] > 3
