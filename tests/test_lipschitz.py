import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_pdecnn import layers, models, ops
from keras_pdecnn.stability import block_bounds, layer_bounds, lipschitz_bound

PROVABLE = {name: build for name, build in models.ARCHITECTURES.items() if name != "residual"}
BLOCKS = [layers.ParabolicBlock, layers.HamiltonianBlock, layers.SecondOrderBlock]


def lengths(d):
    return tf.norm(tf.reshape(d, (len(d), -1)), axis=1)


class Expansion:
    """The largest and smallest ||f(x) - f(x')|| / ||x - x'|| seen while x and x' move along the ratio's gradient."""

    def __init__(self, function):
        @tf.function
        def ratio(x, other):
            with tf.GradientTape() as tape:
                tape.watch([x, other])
                found = lengths(function(x) - function(other)) / lengths(x - other)
                total = tf.reduce_sum(tf.math.log(found))
            return found, tape.gradient(total, [x, other])

        self.ratio = ratio

    def __call__(self, x, other, steps=30, rate=0.1):
        seen = []
        for sign in (1, -1):
            points = [tf.constant(x, "float64"), tf.constant(other, "float64")]
            for _ in range(steps):
                found, gradients = self.ratio(*points)
                seen.append(found.numpy())
                size = tf.reshape(lengths(points[0] - points[1]), (-1, *[1] * (x.ndim - 1)))
                points = [
                    p + sign * rate * size * g / tf.reshape(lengths(g) + 1e-300, size.shape)
                    for p, g in zip(points, gradients, strict=True)
                ]
        return np.max(seen), np.min(seen)


def expansion(function, x, other, steps=30):
    return Expansion(function)(x, other, steps)


def pairs(rng, shape, count=48):
    """Return pairs of inputs of several sizes and distances, noise and waves."""
    x = rng.normal(size=(count, *shape)) * rng.choice([0.1, 1.0, 10.0], size=(count, *[1] * len(shape)))
    d = rng.normal(size=x.shape) * rng.choice([1e-3, 1.0, 10.0], size=(count, *[1] * len(shape)))
    d[::3] = np.cos(np.pi * np.arange(shape[0])).reshape(-1, *[1] * (len(shape) - 1)) * rng.normal(size=shape[-1])
    return x, x + d


@pytest.mark.parametrize(
    ("block_class", "normalization", "space", "padding", "h"),
    [
        (layers.ParabolicBlock, None, (6, 6), "same", 0.05),
        (layers.ParabolicBlock, "scale", (9,), "periodic", 0.5),
        (layers.ParabolicBlock, "shrinkage", (9,), "same", 0.3),
        (layers.HamiltonianBlock, None, (9,), "periodic", 0.3),
        (layers.HamiltonianBlock, "scale", (6, 6), "same", 0.05),
        (layers.SecondOrderBlock, "shrinkage", (6, 6), "periodic", 0.2),
        (layers.SecondOrderBlock, None, (9,), "same", 0.5),
        (layers.SecondOrderBlock, "tv", (9,), "same", 0.1),
    ],
)
def test_bounds_of_blocks(float64, rng, randomize, block_class, normalization, space, padding, h):
    y = keras.Input((*space, 4))
    block = block_class(3, step_size=h, normalization=normalization, padding=padding)
    block(y)
    randomize(block)
    lower, upper = block_bounds(block, space)
    if block_class is layers.SecondOrderBlock:

        def function(y):
            return tf.concat(block.forward(y), -1)

        assert expansion(block, *pairs(rng, (*space, 4)))[0] <= upper * (1 + 1e-12)
        assert expansion(function, *pairs(rng, (*space, 4)))[1] >= lower * (1 - 1e-12)
    else:
        largest, smallest = expansion(block, *pairs(rng, (*space, 4)))
        assert lower * (1 - 1e-12) <= smallest
        assert largest <= upper * (1 + 1e-12)
    assert lower <= 1 <= upper
    everywhere = block_bounds(block)
    assert everywhere[0] <= lower * 1.001
    assert everywhere[1] >= upper * 0.999


def test_bounds_by_hand(float64):
    """Kernels of one entry k: every block is a linear map of numbers, with the identity as activation."""
    k, h = 0.7, 0.3
    settings = {
        "kernel_size": 1,
        "step_size": h,
        "normalization": None,
        "activation": "linear",
        "kernel_initializer": keras.initializers.Constant(k),
    }
    bounds = {}
    for block_class, channels in zip(BLOCKS, (1, 2, 1), strict=True):
        block = block_class(2, **settings)
        block.build((None, 4, channels))
        bounds[block_class] = block_bounds(block)
    a = h * k * k
    assert np.isclose(bounds[layers.ParabolicBlock][0], (1 - a) ** 2, rtol=1e-6)
    assert bounds[layers.ParabolicBlock][1] == 1
    # Two steps of Verlet: the norm of the matrix is between the bounds, and they are close for small a.
    step = np.array([[1, -a], [a, 1 - a * a]])
    lower, upper = bounds[layers.HamiltonianBlock]
    norm = np.linalg.norm(step @ step, 2)
    assert norm <= upper <= np.sqrt(1 + 2 * a + 4 * a * a) + 4 * a * a
    assert lower <= 1 / np.linalg.norm(np.linalg.inv(step @ step), 2)
    # Leapfrog with a = h^2 k^2: y_2 = (1 - 3 a + a^2) y_0.
    a = (h * k) ** 2
    assert abs(1 - 3 * a + a * a) <= bounds[layers.SecondOrderBlock][1]
    assert bounds[layers.SecondOrderBlock][1] == 1


@pytest.mark.parametrize(
    ("block_class", "largest"), [(layers.HamiltonianBlock, 1.1341), (layers.SecondOrderBlock, 1.0)]
)
@pytest.mark.parametrize("steps", [1, 2, 7])
def test_hyperbolic_blocks_with_a_bounded_gain(rng, block_class, largest, steps):
    gain = block_class.bounded_gain(steps)
    block = block_class(steps, step_size="auto", max_gain=gain, max_step_size=100.0, normalization=None)
    block.build((None, 9, 6))
    # Kernels of very different norms, in time and of the two fields.
    block.kernel.assign(
        rng.normal(size=block.kernel.shape) * rng.choice([0.1, 3.0], (*block.kernel.shape[:2], 1, 1, 1))
    )
    lower, upper = block_bounds(block)
    assert upper <= largest
    # The state of the second-order block moves on by its velocity in every step.
    assert lower > (1 / (steps + 2) if block_class is layers.SecondOrderBlock else 1 / largest - 0.01)


def test_steps_above_the_limit_expand_by_what_is_said(float64, rng):
    block = layers.ParabolicBlock(
        1,
        kernel_size=1,
        step_size=3.0,
        normalization=None,
        activation="linear",
        kernel_initializer=keras.initializers.Constant(1.2),
    )
    block.build((None, 4, 1))
    assert np.isclose(block_bounds(block)[1], 3 * 1.2**2 - 1, rtol=1e-6)
    assert np.isclose(expansion(block, *pairs(rng, (4, 1)))[0], 3 * 1.2**2 - 1, rtol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("architecture", "space", "padding"),
    [("parabolic", (7, 8), "same"), ("hamiltonian", (10,), "same"), ("second_order", (10,), "periodic")],
)
def test_networks_do_not_exceed_their_bound(float64, rng, randomize, architecture, space, padding):
    settings = {"classes": 3, "widths": (4, 6), "steps": (2, 1), "padding": padding, "classifier_activation": None}
    model = PROVABLE[architecture]((*space, 2), provable=True, include_preprocessing=False, **settings)
    x, other = pairs(rng, (*space, 2))
    y = rng.integers(3, size=len(x))
    model.compile(keras.optimizers.Adam(0.02), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    measure = Expansion(model)
    for training in (False, True):
        if training:
            model.fit(x, y, epochs=5, verbose=0)
        else:
            randomize(model)
        bound = lipschitz_bound(model)
        largest, _ = measure(x, other)
        # It is a bound with a meaning: not far from 2, the default of `lipschitz`, nor from what is seen.
        assert 0.02 * bound < largest <= bound < 2.0 * 1.7


@pytest.mark.slow
def test_bounds_of_the_paper_s_networks_hold(float64, rng, randomize):
    for build in models.ARCHITECTURES.values():
        model = randomize(
            build((7, 7, 1), classes=3, widths=(4,), steps=1, classifier_activation=None, include_preprocessing=False)
        )
        assert expansion(model, *pairs(rng, (7, 7, 1)))[0] <= lipschitz_bound(model)


def test_layers_one_by_one(float64, rng, randomize):
    model = randomize(models.ParabolicCNN((9, 9, 2), classes=3, widths=(4, 6), steps=1, provable=True))
    bounds = layer_bounds(model)
    assert [bound.layer for bound in bounds] == [layer.name for layer in model.layers[1:]]
    for layer, bound in list(zip(model.layers, [None, *bounds], strict=True))[2:-1]:
        assert bound.upper <= 1 + 1e-6
        # Eagerly, as compiling takes longer.
        x, other = pairs(rng, layer.input.shape[1:])
        assert np.all(lengths(layer(x) - layer(other)) <= bound.upper * (1 + 1e-9) * lengths(x - other))


def test_batch_normalization_and_average_pooling_are_exact(float64, rng, randomize):
    """A linear regime: with a large shift every ReLU is on, and the norm is that of a matrix."""
    model = randomize(models.ParabolicCNN((5, 5, 2), include_top=False, widths=(3, 4), steps=1))
    connector = model.get_layer("connector_1")
    connector.normalization.beta.assign(100 * np.ones(4))
    zero = np.asarray(connector(np.zeros((1, 5, 5, 3))))
    columns = np.asarray(connector(np.eye(75).reshape(75, 5, 5, 3))) - zero
    norm = np.linalg.norm(columns.reshape(75, -1), 2)
    assert np.isclose({b.layer: b.upper for b in layer_bounds(model)}["connector_1"], norm, rtol=1e-9)


def test_sizes_known_at_run_time(randomize):
    fixed = randomize(models.HamiltonianCNN((8, 8, 3), classes=3, widths=(4, 6), steps=1))
    free = models.HamiltonianCNN((None, None, 3), classes=3, widths=(4, 6), steps=1)
    free.set_weights(fixed.get_weights())
    assert lipschitz_bound(free) > lipschitz_bound(fixed)


class Backwards(layers.PDEBlock):
    """The heat equation backwards: it enlarges distances."""

    integrator = ops.Integrator(
        name="backward Euler steps",
        fields=1,
        updates=(ops.Update(target=0, source=0, field=0, factor=lambda h: -h),),
        start=lambda y: (y,),
        finish=lambda state: state[0],
    )


class Louder(keras.layers.Flatten):
    def call(self, y):
        return 10 * super().call(y)


class LouderConnector(layers.Connector):
    def call(self, y, training=None):
        return 10 * super().call(y, training=training)


class LouderBoundedConnector(layers.BoundedConnector):
    def call(self, y, training=None):
        return 10 * super().call(y, training=training)


class LouderStandardization(layers.Standardization):
    def call(self, x):
        return 10 * super().call(x)


class LouderDense(layers.NormalizedDense):
    def call(self, y):
        return 10 * super().call(y)


class LouderBlock(layers.ParabolicBlock):
    def call(self, y):
        return 10 * super().call(y)


@pytest.mark.parametrize(
    "layer",
    [
        LouderConnector(3),
        LouderBoundedConnector(3),
        LouderStandardization(),
        LouderDense(3),
        LouderDense(3, activation="softmax"),
        LouderBlock(1, normalization=None, step_size=0.01),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_a_derived_class_claims_nothing(layer):
    model = keras.Sequential([keras.Input((4,) if isinstance(layer, layers.NormalizedDense) else (8, 8, 3)), layer])
    (bound,) = layer_bounds(model)
    assert bound.upper is None
    assert bound.reason == f"nothing is known about layers of the class {type(layer).__name__}"


def test_a_derived_class_may_state_its_own_bound():
    class Double(keras.layers.Layer):
        def call(self, y):
            return 2 * y

        def lipschitz_bound(self, input_shape):
            assert input_shape == (None, 8, 8, 3)
            return 2.0

    model = keras.Sequential([keras.Input((8, 8, 3)), Double(), keras.layers.Permute((3, 1, 2))])
    assert [bound.upper for bound in layer_bounds(model)] == [2.0, 1.0]


def test_each_layer_states_its_bound(float64, rng, randomize):
    for layer, shape in [
        (layers.Connector(3), (6, 7, 2)),
        (layers.BoundedConnector(3, kernel_size=3), (6, 7, 2)),
        (layers.Standardization(), (3, 2)),
        (layers.NormalizedDense(3, lipschitz=3.0, activation="selu"), (5,)),
    ]:
        x, other = pairs(rng, (*shape, 1) if len(shape) == 1 else shape)
        x, other = x.reshape(-1, *shape), other.reshape(-1, *shape)
        layer(x)
        randomize(layer)
        largest = np.max(lengths(layer(x) - layer(other)) / lengths(x - other))
        assert largest <= layer.lipschitz_bound((None, *shape)) * (1 + 1e-12)
    with pytest.raises(ValueError, match=r"Received: input_shape=\(None, None, 3\)"):
        layers.Standardization().lipschitz_bound((None, None, 3))
    with pytest.raises(ValueError, match=r"once it is built. Received: layer=unbuilt"):
        layers.Connector(3, name="unbuilt").lipschitz_bound((None, 8, 8, 3))
    with pytest.raises(ValueError, match="Received: activation=gelu"):
        layers.NormalizedDense(3, activation="gelu").lipschitz_bound((None, 8))


@pytest.mark.parametrize("first", [True, False])
def test_a_standardization_inside_a_network_counts_with_its_constant(first):
    before = layers.Standardization() if first else keras.layers.Dropout(0.1)
    model = keras.Sequential([keras.Input((4, 4, 1)), before, layers.Standardization(), keras.layers.Flatten()])
    assert [bound.upper for bound in layer_bounds(model)] == [1.0, 4.0, 1.0]


def test_a_network_with_the_channels_first_has_the_same_bound(randomize):
    settings = {"classes": 3, "widths": (4, 6), "steps": 1, "provable": True}
    last = randomize(models.ParabolicCNN((8, 6, 2), **settings))
    first = models.ParabolicCNN((2, 8, 6), data_format="channels_first", **settings)
    first.set_weights(last.get_weights())
    assert lipschitz_bound(first) == lipschitz_bound(last)


@pytest.mark.parametrize("how", ["unknown", "branches", "activation", "integrator", "derived", "last"])
def test_where_there_is_no_bound(how):
    inputs = keras.Input((8, 8, 3))
    block = layers.ParabolicBlock(1, normalization=None, step_size=0.01, name="block")
    if how == "unknown":
        model, name, reason = (
            keras.Sequential([inputs, keras.layers.LayerNormalization(name="other")]),
            "other",
            "LayerN",
        )
    elif how == "branches":
        model = keras.Model(inputs, inputs + block(inputs), name="model")
        name, reason = "model", "not a chain"
    elif how == "integrator":
        model = keras.Sequential([inputs, Backwards(1, normalization=None, step_size=0.01, name="block")])
        name, reason = "block", "class Backwards"
    elif how == "derived":
        model, name, reason = keras.Sequential([inputs, Louder(name="louder")]), "louder", "class Louder"
    elif how == "last":
        model = keras.Sequential([inputs, keras.layers.Dense(2, activation="exponential", name="dense")])
        name, reason = "dense", "activation=exponential"
    else:
        block = layers.ParabolicBlock(1, activation="gelu", name="block")
        model, name, reason = keras.Sequential([inputs, block]), "block", "activation=gelu"
    assert lipschitz_bound(model) is None
    (refused,) = (bound for bound in layer_bounds(model) if bound.upper is None)
    assert refused.layer == name
    assert reason in refused.reason


def test_a_nested_model_has_the_bound_of_its_layers():
    inner = models.ParabolicCNN((8, 8, 3), classes=2, widths=(4,))
    inputs = keras.Input((8, 8, 3))
    assert lipschitz_bound(keras.Model(inputs, inner(inputs))) == lipschitz_bound(inner)


def test_models_of_ones_own():
    block = layers.ParabolicBlock(2, normalization=None, step_size="auto")
    model = keras.Sequential([keras.Input((8, 8, 3)), block, keras.layers.Flatten()])
    assert abs(lipschitz_bound(model) - 1) < 1e-8


def test_averages_with_the_channels_first():
    model = keras.Sequential(
        [keras.Input((8, 8, 3)), keras.layers.GlobalAveragePooling2D(data_format="channels_first")]
    )
    # The first axis are channels, so the average is over 8 x 3 entries.
    assert np.isclose(lipschitz_bound(model), 24**-0.5)


def test_the_last_activation_counts_unless_it_makes_probabilities():
    inputs = keras.Input((4,))
    for activation, factor in [(None, 1.0), ("softmax", 1.0), ("sigmoid", 1.0), ("selu", 1.7581)]:
        model = keras.Sequential([inputs, keras.layers.Dense(3, activation=activation)])
        assert np.isclose(lipschitz_bound(model), factor * np.linalg.norm(model.layers[-1].kernel, 2))


def test_kernels_are_multiplied_by_the_batch_normalization_in_float64(rng, randomize):
    connector = layers.Connector(4)
    connector(keras.Input((6, 6, 3)))
    randomize(connector).normalization.gamma.assign([1e-3, 3.0, -2.0, 0.7])
    kernel, gamma, variance = (
        np.float64(weight)
        for weight in (connector.kernel, connector.normalization.gamma, connector.normalization.moving_variance)
    )
    expected = kernel * gamma / np.sqrt(variance + connector.normalization.epsilon)
    np.testing.assert_allclose(connector.inference_kernel(), expected, rtol=1e-14)


def test_integrators_of_ones_own_are_refused():
    block = Backwards(2, normalization=None)
    block.build((None, 8, 8, 2))
    with pytest.raises(ValueError, match="Received: integrator='backward Euler steps'"):
        block_bounds(block)


def test_what_is_no_model_is_refused():
    with pytest.raises(ValueError, match="Received: model=3"):
        lipschitz_bound(3)
    with pytest.raises(ValueError, match="Received: block=<HamiltonianBlock"):
        block_bounds(layers.HamiltonianBlock(2))


def test_a_model_that_changes_what_its_layers_compute_has_no_bound():
    model = models.ParabolicCNN((8, 8, 1), classes=3, widths=(4,), provable=True)

    class Larger(type(keras.Model(model.inputs, model.outputs))):
        def call(self, *args, **kwargs):
            return 100 * super().call(*args, **kwargs)

    assert lipschitz_bound(model) < 2.1
    assert lipschitz_bound(Larger(model.inputs, model.outputs)) is None


def test_a_block_that_changes_what_it_computes_has_no_bound():
    class Larger(layers.ParabolicBlock):
        def call(self, y):
            return 5 * super().call(y)

    block = Larger(2, step_size="auto", normalization=None)
    block.build((None, 8, 8, 4))
    with pytest.raises(ValueError, match="nothing is known about the class Larger, which redefines call"):
        block_bounds(block)


def test_weights_that_overflow_in_a_basis_have_no_bound():
    block = layers.ParabolicBlock(4, step_size="auto", normalization=None, time_basis="cosine", basis_size=2)
    block.build((None, 8, 8, 4))
    block.kernel.assign(np.full(block.kernel.shape, 3e38))
    with pytest.raises(ValueError, match="the weights are too large"):
        block_bounds(block)
