"""Integrators that a user may define: half kicks, factors of the step index, scaled parts, and what is refused."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_pdecnn import layers, ops, stability
from keras_pdecnn.ops import Factor, Integrator, Update

STEPS = 6
HALF_KICKS = (
    Update(target=1, source=0, field=0, factor=Factor(0.5, 2)),
    Update(target=0, source=1, factor=1.0),
    Update(target=1, source=0, field=1, factor=Factor(0.5, 2)),
)
METHODS = {
    "half kicks h^2/2": (2, HALF_KICKS),
    "half kicks h/2": (
        2,
        (
            Update(1, 0, 0, Factor(0.5)),
            Update(0, 1, None, Factor(1.0)),
            Update(1, 0, 1, lambda h: h / 2),
        ),
    ),
    "factor of the step index": (
        1,
        (
            Update(1, 0, 0, Factor(1.0, 2, weight=lambda j: (4 * j + 2) / (2 * j + 3))),
            Update(0, 1, None, lambda h, j: 1 / (1 + j)),
        ),
    ),
    "damped wave": (
        1,
        (
            Update(1, 0, 0, Factor(1.0, 2), scale=lambda h: 1 - 0.3 * h),
            Update(0, 1, None, 1.0),
        ),
    ),
    "momentum": (
        1,
        (
            Update(1, 0, 0, Factor(0.1), scale=0.9),
            Update(0, 1, None, 1.0, scale=lambda h, j: 1 + 0.1 * h / (1 + j)),
        ),
    ),
}


def integrator(name, **changes):
    fields, updates = METHODS[name]
    start, finish = ops.leapfrog.start, ops.leapfrog.finish
    settings = {"start": start, "finish": finish, "limit": lambda L, norms: 2 / (L**0.5 * norms[:, 0])}
    return Integrator(name, fields, updates, **{**settings, **changes})


def block(name, steps=STEPS, **settings):
    class Block(layers.PDEBlock):
        integrator = METHODS_OF[name]

    return Block(steps, **{"step_size": 0.4, "activation": "tanh", "dtype": "float64", **settings})


METHODS_OF = {name: integrator(name) for name in METHODS}
every_method = pytest.mark.parametrize("name", METHODS)


def gradients(layer, y, w):
    """Return the output, and the gradients of <w, output> by the input and the weights."""
    y = tf.convert_to_tensor(y)
    with tf.GradientTape() as tape:
        tape.watch(y)
        out = layer(y)
        loss = tf.reduce_sum(w * out)
    return [out, *tape.gradient(loss, [y, *layer.trainable_variables])]


@every_method
@pytest.mark.parametrize(
    ("backprop", "settings"),
    [
        ("reversible", {"stored_steps": 0}),
        ("reversible", {"stored_steps": 1, "checkpoint_every": 2}),
        ("checkpointed", {"stored_steps": 1}),
    ],
)
def test_gradients_in_every_mode_are_those_of_stored_activations(name, backprop, settings, rng, randomize):
    y, w = rng.normal(size=(2, 2, 5, 4, 3))
    stored, other = block(name, backprop="stored"), block(name, backprop=backprop, **settings)
    for layer in (stored, other):
        layer.build(y.shape)
    other.set_weights(randomize(stored).get_weights())
    for a, b in zip(gradients(other, y, w), gradients(stored, y, w), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-10 * np.max(np.abs(b)))


@every_method
def test_steps_follow_the_formula_and_are_undone(name, rng, randomize):
    layer = randomize_built(block(name), randomize)
    y, h, F = rng.normal(size=(2, 5, 4, 3)), 0.4, layer.field
    state = [y, np.zeros_like(y)]
    for j in range(STEPS):
        theta = layer.theta().at(j)
        for update in METHODS[name][1]:
            source = state[update.source]
            increment = source if update.field is None else F(theta, update.field, tf.convert_to_tensor(source)).numpy()
            state[update.target] = update.scale(h, j) * state[update.target] + update.factor(h, j) * increment
    np.testing.assert_allclose(layer(y), state[0], rtol=1e-12, atol=1e-12)
    back, v = ops.undo(layer.integrator, layer.field, layer.theta(), h, tuple(map(tf.convert_to_tensor, state)))
    np.testing.assert_allclose(back, y, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(v, 0, atol=1e-9)


def randomize_built(layer, randomize, shape=(2, 5, 4, 3)):
    layer.build(shape)
    return randomize(layer)


@every_method
def test_automatic_steps_keep_every_gain_at_its_bound(name, randomize):
    layer = randomize_built(block(name, step_size="auto", max_gain=0.1, max_step_size=100.0), randomize)
    h, theta = float(layer.current_step_size()), layer.theta()
    norms = ops.norm_bound(theta["kernel"], axes=2).numpy()
    gains = [
        abs(update.factor(h, j)) * norms[j, update.field] ** 2
        for update in layer.integrator.updates
        if update.field is not None
        for j in range(STEPS)
    ]
    assert np.isfinite(h)
    np.testing.assert_allclose(max(gains), 0.1, rtol=1e-9)


def test_automatic_steps_work_in_fit_with_increments_of_every_kind():
    model = keras.Sequential([keras.Input((4, 4, 2)), block("half kicks h^2/2", 2, step_size="auto", dtype="float32")])
    model.compile("sgd", "mse")
    history = model.fit(np.ones((4, 4, 4, 2)), np.ones((4, 4, 4, 2)), epochs=1, verbose=0)
    assert np.isfinite(history.history["loss"][0])
    assert np.all(np.isfinite(model.predict(np.ones((1, 4, 4, 2)), verbose=0)))


def test_max_gain_needs_factors_whose_power_is_known():
    updates = (Update(1, 0, 0, lambda h: h / (1 + h)), Update(0, 1, None, 1.0))
    METHODS_OF["rational"] = dataclasses.replace(METHODS_OF["damped wave"], updates=updates)
    assert block("rational", step_size="auto").step_size == "auto"
    with pytest.raises(ValueError, match=r"max_gain needs .* a factor c h\^p .* Received: max_gain=0.1"):
        block("rational", step_size="auto", max_gain=0.1)


@pytest.mark.parametrize("method", [*METHODS, "leapfrog with other updates", "leapfrog with another start"])
def test_no_certificate_is_claimed(method):
    derived = {
        "leapfrog with other updates": {"updates": METHODS["damped wave"][1]},
        "leapfrog with another start": {"start": lambda y: (y, y)},
    }
    if method in derived:
        METHODS_OF[method] = dataclasses.replace(ops.leapfrog, **derived[method])
    layer = block(method, normalization=None)
    layer.build((None, 4, 4, 3))
    with pytest.raises(ValueError, match="Lipschitz bounds are proved for forward Euler, Verlet and leapfrog alone"):
        stability.block_bounds(layer)
    model = keras.Sequential([keras.Input((4, 4, 3)), layer])
    assert stability.lipschitz_bound(model) is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"target": -1}, r"target must be an index, .* Received: target=-1"),
        ({"source": True}, r"source must be an index, .* Received: source=True"),
        ({"field": -1}, r"field must be an index, .* Received: field=-1"),
        ({"factor": "h"}, r"factor must be a Factor, .* Received: factor='h'"),
        ({"scale": 0}, "scale must not be 0"),
        ({"factor": float("nan")}, "factor must be a Factor"),
    ],
)
def test_an_update_that_makes_no_sense_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Update(**{"target": 1, "source": 0, "field": 0, **arguments})


@pytest.mark.parametrize("settings", [{"coefficient": float("inf")}, {"power": -1}, {"power": 0.5}, {"weight": 2.0}])
def test_a_factor_that_makes_no_sense_is_refused(settings):
    with pytest.raises(ValueError, match=f"Received: {next(iter(settings))}="):
        Factor(**settings)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"updates": ()}, "at least one Update"),
        ({"fields": 2}, "must use every right-hand side 0 … 1 and no other"),
        ({"updates": (Update(1, 0, 1), Update(0, 1))}, "must use every right-hand side 0 … 0 and no other"),
    ],
)
def test_an_integrator_that_makes_no_sense_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(METHODS_OF["damped wave"], **changes)


def test_an_update_of_a_part_that_the_state_does_not_have_is_refused():
    METHODS_OF["three parts"] = dataclasses.replace(METHODS_OF["damped wave"], updates=(Update(1, 0, 0), Update(2, 1)))
    with pytest.raises(ValueError, match="name part 2 of the state, whose parts are 0 … 1"):
        block("three parts")(np.ones((1, 4, 4, 3)))


def test_a_part_that_is_its_own_source_cannot_be_undone():
    assert not Update(1, 1, 0).is_invertible
    scaled = Update(1, 0, 0, scale=0.5)
    assert (scaled.is_invertible, scaled.is_shear) == (True, False)


@pytest.mark.parametrize("backprop", ["stored", "checkpointed", "reversible"])
def test_no_gradient_is_taken_with_respect_to_the_step_size(backprop):
    h = tf.Variable(0.3)
    theta = {"kernel": tf.ones((3, 1, 3, 3, 2, 2))}
    with tf.GradientTape() as tape:
        state = ops.leapfrog.start(tf.ones((1, 4, 4, 2)))
        field = ops.Field(keras.activations.relu)
        out = ops.propagate(ops.leapfrog, field, theta, tf.convert_to_tensor(h), state, backprop)
        loss = tf.reduce_sum(out[0])
    assert tape.gradient(loss, h) is None


@pytest.mark.parametrize(
    "activation",
    [keras.layers.Dropout(0.5), lambda x: keras.random.dropout(x, 0.5), lambda x: x + keras.random.normal(x.shape)],
)
def test_activations_that_draw_random_numbers_are_refused(activation):
    with pytest.raises(ValueError, match="activation must not draw random numbers"):
        layers.ParabolicBlock(2, activation=activation).build((None, 4, 4, 3))


@pytest.mark.parametrize("normalization", ["scale", None])
def test_bounds_of_the_general_layer_with_two_fields(normalization, rng, randomize):
    class Block(layers.PDEBlock):
        integrator = ops.verlet
        symmetric = False

    layer = Block(2, step_size=0.1, normalization=normalization, dtype="float64")
    layer.build((None, 5, 4, 4))
    randomize(layer)
    lower, upper = stability.block_bounds(layer)
    y, difference = rng.normal(size=(2, 8, 5, 4, 4))
    change = np.asarray(layer(y + difference) - layer(y)).reshape(8, -1)
    growth = np.linalg.norm(change, axis=1) / np.linalg.norm(difference.reshape(8, -1), axis=1)
    assert lower <= growth.min()
    assert growth.max() <= upper
    assert upper < 1e3


@pytest.mark.parametrize("block_class", [layers.HamiltonianBlock, layers.SecondOrderBlock, layers.ParabolicBlock])
def test_blocks_with_the_channels_first(block_class, rng, randomize):
    y = rng.normal(size=(2, 5, 4, 6)).astype("float32")
    last = block_class(3)
    expected = randomize_built(last, randomize, y.shape)(y)
    keras.config.set_image_data_format("channels_first")
    first = block_class(3)
    first.build((2, 6, 5, 4))
    first.set_weights(last.get_weights())
    moved = np.moveaxis(y, -1, 1)
    np.testing.assert_array_equal(np.moveaxis(first(moved), 1, -1), expected)
    np.testing.assert_array_equal(first.trajectory(moved)[-1], first(moved))
    assert first.get_config()["data_format"] == "channels_first"
    old = {name: value for name, value in last.get_config().items() if name != "data_format"}
    assert block_class.from_config(old).data_format == "channels_last"
