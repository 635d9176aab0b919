"""Whatever has the right type runs, saves and loads, or is refused with a ValueError that says what was received."""

import inspect
import re
import tempfile

import keras
import numpy as np
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from keras_pdecnn import constraints, layers, models, regularizers

BLOCKS = (layers.ParabolicBlock, layers.HamiltonianBlock, layers.SecondOrderBlock, layers.ResidualBlock)
BUILDERS = tuple(models.ARCHITECTURES.values())
POLICIES = ("float32", "float64", "mixed_float16", "mixed_bfloat16", "float16", "bfloat16")
ACTIVATIONS = ("relu", "tanh", "linear", "silu", "softmax", None)
INITIALIZERS = ("he_normal", "zeros", "glorot_uniform", "variance_scaling", "random_normal")
REGULARIZERS = (None, "l1", "l2", regularizers.TimeSmoothness(1e-3, 1e-3, 0.5))
CONSTRAINTS = (None, "max_norm", "non_neg", constraints.Box(-1, 1))

flags = st.booleans()
positive = st.floats(1e-3, 10)


def from_names(*names):
    return st.sampled_from(names)


def kernel_sizes(rank):
    odd = st.sampled_from((1, 3, 5))
    return odd | st.lists(odd, min_size=rank, max_size=rank).map(tuple)


def field_settings(rank):
    """Return strategies for the arguments that blocks and the symmetric layer share."""
    return {
        "kernel_size": kernel_sizes(rank),
        "filters": st.none() | st.integers(1, 5),
        "activation": from_names(*ACTIVATIONS),
        "normalization": from_names("tv", None),
        "epsilon": positive,
        "use_bias": flags,
        "padding": from_names("same", "periodic"),
        "kernel_initializer": from_names(*INITIALIZERS),
        "kernel_regularizer": from_names(*REGULARIZERS),
        "scale_regularizer": from_names(*REGULARIZERS),
        "bias_regularizer": from_names(*REGULARIZERS),
        "kernel_constraint": from_names(*CONSTRAINTS),
    }


def block_settings(rank, reversible):
    modes = ("stored", "checkpointed", "reversible") if reversible else ("stored", "checkpointed")
    return {
        **field_settings(rank),
        "backprop": from_names(None, *modes),
        "checkpoint_every": st.none() | st.integers(1, 4),
        "stored_steps": st.integers(0, 3),
    }


def layer_settings(layer, rank):
    """Return the strategies of the required and of the optional arguments of a layer on this many space axes."""
    common = {"dtype": from_names(*POLICIES), "trainable": flags, "name": from_names("layer", None)}
    if issubclass(layer, layers.PDEBlock):
        settings = block_settings(rank, layer.integrator.is_reversible)
        return {"steps": st.integers(1, 6)}, {"step_size": positive, **settings, **common}
    if layer is layers.SymmetricConv:
        return {}, {**field_settings(rank), **common}
    if layer is layers.TVNormalization:
        names = {"scale_regularizer": from_names(None, "l2"), "bias_regularizer": from_names(None, "l1")}
        return {}, {"epsilon": positive, "use_scale": flags, "use_bias": flags, **names, **common}
    if layer is layers.Connector:
        settings = {
            "kernel_size": kernel_sizes(rank),
            "pool_size": st.integers(1, 2),
            "momentum": st.floats(0, 0.99),
            "synchronized": flags,
            "kernel_initializer": from_names(*INITIALIZERS),
            "kernel_regularizer": from_names(None, "l2"),
        }
        return {"filters": st.integers(1, 5)}, {**settings, **common}
    return {}, common


LAYERS = (*BLOCKS, layers.SymmetricConv, layers.TVNormalization, layers.Connector, layers.Standardization)


@st.composite
def legal_layers(draw):
    """Draw a layer, arguments that it must accept, and the shape of its input."""
    layer = draw(st.sampled_from(LAYERS))
    space = draw(st.lists(st.integers(2, 6), min_size=1, max_size=3))
    required, optional = layer_settings(layer, len(space))
    settings = draw(st.fixed_dictionaries(required, optional=optional))
    channels = 2 * draw(st.integers(1, 2)) if layer is layers.HamiltonianBlock else draw(st.integers(1, 5))
    return layer, settings, (draw(st.integers(0, 2)), *space, channels)


@st.composite
def legal_models(draw):
    """Draw a builder, arguments that it must accept, and the shape of a batch of images."""
    build = draw(st.sampled_from(BUILDERS))
    rank = draw(st.integers(1, 3))
    blocks = draw(st.integers(1, 2))
    space = draw(st.lists(st.integers(2, 6), min_size=rank, max_size=rank))
    shape = (*space, draw(st.integers(1, 3)))
    of_block = block_settings(rank, build in (models.HamiltonianCNN, models.SecondOrderCNN))
    counts = st.integers(1, 4)
    sizes = positive | st.lists(positive, min_size=blocks, max_size=blocks).map(tuple)
    settings = draw(
        st.fixed_dictionaries(
            {
                "classes": st.integers(1, 4),
                "widths": st.lists(st.sampled_from((2, 4)), min_size=blocks, max_size=blocks),
            },
            optional={
                "head_width": st.none() | st.integers(1, 4),
                "steps": counts | st.lists(counts, min_size=blocks, max_size=blocks),
                "step_size": sizes,
                "time_smoothness": st.floats(0, 1),
                "weight_decay": st.floats(0, 1),
                "box": st.none() | positive,
                "include_top": flags,
                "include_preprocessing": flags,
                "classifier_activation": from_names("softmax", "sigmoid", "linear", None),
                "pooling": from_names(None, "avg", "max"),
                "synchronized": flags,
                "name": from_names(None, "network"),
                **of_block,
            },
        )
    )
    unknown = draw(st.booleans()) and all(size >= 2 for size in space)
    declared = (*(None if unknown else size for size in space), shape[-1])
    return build, {"input_shape": declared, **settings}, (draw(st.integers(1, 2)), *shape)


# Values of the right type that need not be sensible: numbers at and beyond their limits, names that nobody knows.
INTEGERS = st.integers(-2, 6)
NUMBERS = st.floats(allow_subnormal=True) | st.integers(-2, 6) | st.sampled_from((0.0, -1.0, 1e-300, 1e300))
SIZES = INTEGERS | st.lists(INTEGERS, max_size=4) | st.lists(INTEGERS, max_size=4).map(tuple)
TEXT = st.text("abc/ é_", max_size=4)


def names(*known):
    return st.sampled_from(known) | TEXT | st.none()


KERAS_ACTIVATIONS = [n for n in dir(keras.activations) if not n.startswith("_")]
ANYTHING = {
    "activation": names(*KERAS_ACTIVATIONS),
    "backprop": names("stored", "checkpointed", "reversible"),
    "bias_regularizer": names("l1", "l2", "orthogonal_regularizer"),
    "box": st.none() | NUMBERS,
    "checkpoint_every": st.none() | INTEGERS,
    "classes": st.none() | INTEGERS,
    "classifier_activation": names(*KERAS_ACTIVATIONS),
    "dtype": names(*POLICIES, "int8", "uint8", "bool", "string", "complex64", "float8_e4m3fn"),
    "epsilon": NUMBERS,
    "filters": st.none() | INTEGERS,
    "head_width": st.none() | INTEGERS,
    "include_preprocessing": flags,
    "include_top": flags,
    "input_shape": st.lists(st.none() | INTEGERS, max_size=5) | st.lists(INTEGERS, max_size=5).map(tuple),
    "kernel_constraint": names("max_norm", "non_neg", "unit_norm", "min_max_norm"),
    "kernel_initializer": names(*INITIALIZERS, "identity", "stft", "constant"),
    "kernel_regularizer": names("l1", "l2", "orthogonal_regularizer"),
    "kernel_size": SIZES,
    "momentum": NUMBERS,
    "name": names("layer"),
    "normalization": names("tv"),
    "padding": names("same", "periodic", "valid"),
    "pool_size": INTEGERS,
    "pooling": names("avg", "max"),
    "scale_regularizer": names("l1", "l2", "orthogonal_regularizer"),
    "step_size": NUMBERS,
    "steps": INTEGERS,
    "stored_steps": INTEGERS,
    "synchronized": flags,
    "time_smoothness": NUMBERS,
    "trainable": flags,
    "use_bias": flags,
    "use_scale": flags,
    "weight_decay": NUMBERS,
    "widths": st.lists(INTEGERS, max_size=3) | st.lists(INTEGERS, max_size=3).map(tuple),
}


@st.composite
def any_case(draw):
    """Draw a legal layer or model, and replace some of its arguments, or the shape, by anything of the right type."""
    make, settings, shape = draw(legal_layers() | legal_models())
    known = set(inspect.signature(make).parameters) & set(ANYTHING)
    known |= set(layer_settings(make, 1)[1] if make in LAYERS else block_settings(1, True))
    replaced = draw(st.lists(st.sampled_from(sorted(known)), min_size=1, max_size=3, unique=True))
    settings |= {name: draw(ANYTHING[name]) for name in replaced}
    if draw(st.integers(0, 3)) == 0:
        shape = tuple(draw(st.lists(st.integers(0, 5), min_size=1, max_size=6)))
    return make, settings, shape


def run(make, settings, shape):
    """Make a layer or model, call it on features, and take a gradient."""
    y = np.random.default_rng(0).normal(size=shape).astype("float32")
    layer = make(**settings)
    with tf.GradientTape() as tape:
        output = layer(y, training=False)
        loss = tf.reduce_sum(tf.cast(output, "float32")) + sum(tf.cast(loss, "float32") for loss in layer.losses)
    tape.gradient(loss, [weight.value for weight in layer.trainable_weights])
    return layer, y, output


def check_reload(layer, y, output):
    """Save a layer or model and load it: the copy gives the same."""
    model = layer if isinstance(layer, keras.Model) else keras.Sequential([layer])
    model(y)
    with tempfile.TemporaryDirectory() as folder:
        model.save(f"{folder}/model.keras")
        copy = keras.saving.load_model(f"{folder}/model.keras", compile=False)
    for weight, saved in zip(model.weights, copy.weights, strict=True):
        np.testing.assert_array_equal(*(tf.cast(w.value, "float64") for w in (weight, saved)))
    expected, found = (np.asarray(tf.cast(t, "float64")) for t in (output, copy(y, training=False)))
    scale = np.max(np.abs(expected), initial=0, where=np.isfinite(expected))
    np.testing.assert_allclose(
        found, expected, rtol=0, atol=scale * (0.05 if "16" in str(layer.dtype_policy) else 1e-4)
    )


@given(legal_layers())
def test_legal_layers_run_and_are_saved(case):
    check_reload(*run(*case))


@given(legal_models())
def test_legal_models_run_and_are_saved(case):
    check_reload(*run(*case))


# Ours, or Keras's own of an input that does not have the shape that a model was made for.
REFUSAL = re.compile(r"Received|Invalid input shape for input|is incompatible with the layer: expected")


@given(any_case())
def test_anything_of_the_right_type_runs_or_is_refused(case):
    try:
        results = run(*case)
    except ValueError as error:
        assert REFUSAL.search(str(error))
        return
    check_reload(*results)
