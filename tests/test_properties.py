"""Whatever has the right type runs, saves and loads, or is refused with a ValueError that says what was received."""

import inspect
import re
import tempfile
from typing import NamedTuple

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from keras_pdecnn import constraints, initializers, layers, losses, models, regularizers
from keras_pdecnn.layers.base_connector import BaseConnector
from keras_pdecnn.ops.limits import LIPSCHITZ
from keras_pdecnn.ops.normalization import Shrinkage
from keras_pdecnn.utils.policies import dtype_policy

# The base of the blocks is no block: it has no integrator. A layer that crops takes a pair of features.
LAYERS = tuple(getattr(layers, name) for name in layers.__all__ if name not in ("PDEBlock", "CropLike"))
AROUND_LAYERS = (layers.AffineCoupling, layers.Reversible, layers.ReversibleSequence)
BUILDERS = {build: getattr(layers, build.__name__.replace("CNN", "Block")) for build in models.ARCHITECTURES.values()}
OF_LAYERS = {"name", "dtype", "trainable"}
POLICIES = ("float32", "float64", "mixed_float16", "mixed_bfloat16", "float16", "bfloat16")
ACTIVATIONS = ("relu", "tanh", "linear", "silu", "softmax", None)
INITIALIZERS = ("he_normal", "zeros", "glorot_uniform", "variance_scaling", "random_normal", "orthogonal")
REGULARIZERS = (None, "l1", "l2", regularizers.TimeSmoothness(1e-3, 1e-3, 0.5))
CONSTRAINTS = (None, "max_norm", "non_neg", constraints.Box(-1, 1))

flags = st.booleans()
positive = st.floats(1e-3, 10)


class Case(NamedTuple):
    """A layer or builder, its arguments, the shape of what it is called on, and the policy of Keras meanwhile."""

    make: object
    settings: dict
    shape: tuple
    policy: str = "float32"


def arguments_of(make) -> set:
    """Return the names of all documented arguments of a layer or builder."""
    parameters = inspect.signature(make).parameters.values()
    named = {parameter.name for parameter in parameters if parameter.kind is not parameter.VAR_KEYWORD}
    return named | (arguments_of(BUILDERS[make]) if make in BUILDERS else OF_LAYERS)


def from_names(*names):
    return st.sampled_from(names)


data_formats = from_names(None, "channels_last", "channels_first")


def kernel_sizes(rank):
    odd = st.sampled_from((1, 3, 5))
    return odd | st.lists(odd, min_size=rank, max_size=rank).map(tuple)


def field_settings(rank):
    """Return strategies for the arguments that blocks and the symmetric layer share."""
    return {
        "kernel_size": kernel_sizes(rank),
        "filters": st.none() | st.integers(1, 5),
        "activation": from_names(*ACTIVATIONS),
        "normalization": from_names("tv", None, "scale", "shrinkage"),
        "epsilon": positive,
        "use_bias": flags,
        "padding": from_names("same", "periodic"),
        "kernel_initializer": from_names(*INITIALIZERS),
        "kernel_regularizer": from_names(*REGULARIZERS),
        "scale_regularizer": from_names(*REGULARIZERS),
        "bias_regularizer": from_names(*REGULARIZERS),
        "kernel_constraint": from_names(*CONSTRAINTS),
        "data_format": data_formats,
    }


def block_settings(block, rank):
    return {
        **field_settings(rank),
        "step_size": positive | st.just("auto"),
        "backprop": from_names(None, "stored", "checkpointed", "reversible"),
        "checkpoint_every": st.none() | st.integers(1, 4),
        "stored_steps": st.none() | st.integers(0, 3),
        "time_basis": from_names(None, "constant", "linear", "cosine"),
        "basis_size": st.none() | st.integers(1, 7),
        "max_step_size": positive,
        "max_gain": st.none() | positive,
        "scheme": from_names(None, *block.schemes),
        "sampling": from_names("left", "midpoint"),
        "coupling": st.none() | st.floats(0.1, 1),
    }


def inner_layers(units):
    """Return a strategy for layers that keep the shape of features with this many channels."""
    return st.one_of(
        st.builds(keras.layers.Dense, st.just(units), activation=from_names("relu", None), dtype=from_names(*POLICIES)),
        st.builds(keras.layers.BatchNormalization),
        st.builds(keras.layers.Dropout, st.floats(0, 0.9), seed=st.none() | st.integers(0, 9)),
        st.builds(layers.SymmetricConv, kernel_size=st.just(1)),
    )


def coupling_settings(layer, channels):
    """Return strategies for the arguments of a layer around others, on features with an even number of channels."""
    one = inner_layers(channels // 2)
    if layer is layers.ReversibleSequence:
        coupling = st.builds(layers.Reversible, one, st.none() | one)
        return {"layers": st.lists(coupling, min_size=1, max_size=3)}, {}
    if layer is layers.AffineCoupling:
        wide = st.builds(keras.layers.Dense, st.just(channels), activation=from_names("relu", None))
        return {"f": wide}, {"split_axis": st.just(-1), "bound": positive}
    return {"f": one}, {"g": st.none() | one, "split_axis": st.just(-1)}


def layer_settings(layer, rank, channels=2):
    """Return the strategies of the required and of the optional arguments of a layer on this many space axes."""
    if layer in AROUND_LAYERS:
        required, optional = coupling_settings(layer, channels)
        return required, {
            **optional,
            "dtype": from_names(*POLICIES),
            "trainable": flags,
            "name": from_names("layer", None),
        }
    return plain_settings(layer, rank)


def connector_settings(layer, rank):
    """Return the strategies of the arguments of a connector that may be left out, but for those of every layer."""
    settings = {
        "kernel_size": kernel_sizes(rank),
        "kernel_initializer": from_names(*INITIALIZERS),
        "kernel_regularizer": from_names(None, "l2"),
        "data_format": data_formats,
    }
    if layer in (layers.RefiningConnector, layers.BoundedRefiningConnector):
        settings["factor"] = st.integers(1, 3)
    else:
        settings |= {"pool_size": st.integers(1, 2), "strides": st.integers(1, 2)}
    if layer in (layers.Connector, layers.RefiningConnector):
        modes = from_names("stored", "checkpointed")
        settings |= {"momentum": st.floats(0, 0.99), "synchronized": flags, "backprop": modes}
    if layer is layers.BoundedConnector:
        settings |= {"activation": from_names("relu", None), "orthogonal": flags}
    return settings


def plain_settings(layer, rank):
    """Return the strategies of a layer that has no others inside."""
    common = {"dtype": from_names(*POLICIES), "trainable": flags, "name": from_names("layer", None)}
    if issubclass(layer, layers.PDEBlock):
        return {"steps": st.integers(1, 6)}, {**block_settings(layer, rank), **common}
    if layer is layers.SymmetricConv:
        return {}, {**field_settings(rank), **common}
    if layer is layers.TVNormalization:
        names = {"scale_regularizer": from_names(None, "l2"), "bias_regularizer": from_names(None, "l1")}
        settings = {"epsilon": positive, "use_scale": flags, "use_bias": flags, "data_format": data_formats}
        return {}, {**settings, **names, **common}
    if issubclass(layer, BaseConnector):
        return {"filters": st.integers(1, 5)}, {**connector_settings(layer, rank), **common}
    if layer is layers.NormalizedDense:
        settings = {
            "lipschitz": positive,
            "per_unit": flags,
            "activation": from_names(*ACTIVATIONS),
            "kernel_initializer": from_names(*INITIALIZERS),
            "kernel_regularizer": from_names(None, "l2"),
            "bias_regularizer": from_names(None, "l1"),
        }
        return {"units": st.integers(1, 5)}, {**settings, **common}
    return {"multiple": st.integers(1, 5)} if layer is layers.PadToMultiple else {}, common


def model_settings(build, rank, blocks):
    """Return the strategies of the required and of the optional arguments of a builder, but for the input shape."""
    of_block = block_settings(BUILDERS[build], rank)

    def per_block(values):
        return values | st.lists(values, min_size=blocks, max_size=blocks).map(tuple)

    required = {
        "classes": st.integers(1, 4),
        "widths": st.lists(st.sampled_from((2, 4)), min_size=blocks, max_size=blocks),
    }
    return required, {
        **of_block,
        "dtype": from_names(*POLICIES),
        "trainable": flags,
        "head_width": st.none() | st.integers(1, 4),
        "steps": per_block(st.integers(1, 4)),
        "step_size": per_block(of_block["step_size"]),
        "max_step_size": per_block(of_block["max_step_size"]),
        "time_smoothness": st.floats(0, 1),
        "weight_decay": st.floats(0, 1),
        "box": st.none() | positive,
        "include_top": flags,
        "include_preprocessing": flags,
        "classifier_activation": from_names("softmax", "sigmoid", "linear", None),
        "pool": st.integers(1, 2),
        "pooling": from_names(None, "avg", "max"),
        "synchronized": flags,
        "provable": flags,
        "lipschitz": positive,
        "orthogonal": flags,
        "dropout": st.floats(0, 0.9),
        "opening_kernel_size": kernel_sizes(rank),
        # Strides would leave nothing of the smallest images, and a spectrogram nothing of their signals.
        "opening_stride": st.just(1),
        "opening_width": st.none(),
        "spectrogram": st.none(),
        "spectrogram_step": st.none(),
        "weights": st.none(),
        "data_format": data_formats,
        "name": from_names(None, "network"),
    }


def agreeing(make, settings):
    """Return the settings with those changed that may not go together."""
    settings = dict(settings)
    block = BUILDERS.get(make, make)
    activation = keras.activations.get(settings.get("activation", "relu"))
    if settings.get("normalization") == "shrinkage" and activation not in Shrinkage.activations:
        settings["activation"] = "relu"
    if block is layers.ResidualBlock:
        settings.pop("provable", None)
    if settings.get("provable") and make in BUILDERS and activation not in LIPSCHITZ:
        settings["activation"] = "tanh" if settings.get("normalization") != "shrinkage" else "relu"
    if "auto" in np.ravel(settings.get("step_size", 1.0)) and (
        block is layers.ResidualBlock or keras.activations.get(settings.get("activation", "relu")) not in LIPSCHITZ
    ):
        del settings["step_size"]
    if settings.get("time_basis") is None:
        settings.pop("basis_size", None)
        settings.pop("sampling", None)
    one_part = block in (layers.ParabolicBlock, layers.ResidualBlock)
    if one_part and (settings.get("scheme") or settings.get("backprop") == "reversible"):
        settings.pop("max_gain", None)  # which needs a factor c h^p
        settings.pop("provable", None)
        if "auto" in np.ravel(settings.get("step_size", 1.0)):
            settings["step_size"] = 0.5  # no limit is known for all of them
    if settings.get("scheme") == "semi-implicit":
        settings["padding"] = "periodic"
    if not settings.get("provable") and make in BUILDERS:
        settings.pop("orthogonal", None)
    return settings


@st.composite
def legal_layers(draw):
    """Draw a layer, arguments that it must accept, and the shape of its input."""
    layer = draw(st.sampled_from(LAYERS))
    space = draw(st.lists(st.integers(2, 6), min_size=1, max_size=3)) if layer is not layers.NormalizedDense else []
    in_halves = layer in (layers.HamiltonianBlock, *AROUND_LAYERS)
    channels = 2 * draw(st.integers(1, 2)) if in_halves else draw(st.integers(1, 5))
    required, optional = layer_settings(layer, len(space), channels)
    settings = draw(st.fixed_dictionaries(required, optional=optional))
    shape = (*space, channels) if settings.get("data_format") != "channels_first" else (channels, *space)
    return Case(layer, agreeing(layer, settings), (draw(st.integers(0, 2)), *shape))


@st.composite
def legal_models(draw):
    """Draw a builder, arguments that it must accept, the shape of a batch of images, and a policy."""
    build = draw(st.sampled_from(list(BUILDERS)))
    rank = draw(st.integers(1, 3))
    space = draw(st.lists(st.integers(2, 6), min_size=rank, max_size=rank))
    shape = (*space, draw(st.integers(1, 3)))
    required, optional = model_settings(build, rank, draw(st.integers(1, 2)))
    settings = agreeing(build, draw(st.fixed_dictionaries(required, optional=optional)))
    needs_size = settings.get("provable") and settings.get("include_top", True)
    unknown = not needs_size and draw(st.booleans())
    known, channels = tuple(None if unknown else size for size in space), shape[-1]
    if settings.get("data_format") == "channels_first":
        settings["input_shape"], shape = (channels, *known), (channels, *space)
    else:
        settings["input_shape"] = (*known, channels)
    return Case(build, settings, (draw(st.integers(1, 2)), *shape), draw(from_names(*POLICIES)))


# Values of the right type that need not be sensible: numbers at and beyond their limits, names that nobody knows.
INTEGERS = st.integers(-2, 6)
NUMBERS = st.floats(allow_subnormal=True) | st.integers(-2, 6) | st.sampled_from((0.0, -1.0, 1e-300, 1e300))
SIZES = INTEGERS | st.lists(INTEGERS, max_size=4) | st.lists(INTEGERS, max_size=4).map(tuple)
TEXT = st.text("abc/ é_", max_size=4)
STEP_SIZES = NUMBERS | st.just("auto")
ANY_LAYERS = st.none() | TEXT | st.builds(keras.layers.Dense, st.integers(1, 4)) | st.builds(keras.layers.Flatten)


def names(*known):
    return st.sampled_from(known) | TEXT | st.none()


def names_of(module):
    return names(*(name for name in dir(module) if name.islower() and not name.startswith("_")))


ANYTHING = {
    "activation": names_of(keras.activations),
    "backprop": names("stored", "checkpointed", "reversible"),
    "basis_size": st.none() | INTEGERS,
    "bias_regularizer": names_of(keras.regularizers),
    "bound": NUMBERS,
    "box": st.none() | NUMBERS,
    "checkpoint_every": st.none() | INTEGERS,
    "classes": st.none() | INTEGERS,
    "classifier_activation": names_of(keras.activations),
    "coupling": st.none() | NUMBERS,
    "data_format": names("channels_last", "channels_first"),
    "decay": NUMBERS,
    "dtype": names(*POLICIES, "int8", "uint8", "bool", "string", "complex64", "float8_e4m3fn"),
    "dropout": NUMBERS,
    "epsilon": NUMBERS,
    "f": ANY_LAYERS,
    "factor": INTEGERS,
    "filters": st.none() | INTEGERS,
    "g": ANY_LAYERS,
    "head_width": st.none() | INTEGERS,
    "include_preprocessing": flags,
    "include_top": flags,
    "initializer": names_of(keras.initializers),
    "input_shape": st.lists(st.none() | INTEGERS, max_size=5) | st.lists(INTEGERS, max_size=5).map(tuple),
    "kernel_constraint": names_of(keras.constraints),
    "kernel_initializer": names_of(keras.initializers),
    "kernel_regularizer": names_of(keras.regularizers),
    "kernel_size": SIZES,
    "label_smoothing": NUMBERS,
    "layers": ANY_LAYERS | st.lists(ANY_LAYERS, max_size=2),
    "lipschitz": NUMBERS,
    "max_gain": st.none() | NUMBERS,
    "max_step_size": NUMBERS | st.lists(NUMBERS, max_size=2),
    "margin": NUMBERS,
    "temperature": NUMBERS,
    "adaptive": flags,
    "from_logits": flags,
    "orthogonal": flags,
    "per_unit": flags,
    "scale": NUMBERS | st.lists(NUMBERS, max_size=2),
    "maximum": NUMBERS,
    "minimum": NUMBERS,
    "momentum": NUMBERS,
    "multiple": INTEGERS,
    "name": names("layer"),
    "normalization": names("tv", "scale", "shrinkage"),
    "opening_kernel_size": SIZES,
    "opening_stride": SIZES,
    "opening_width": st.none() | INTEGERS,
    "padding": names("same", "periodic", "valid"),
    "pool": SIZES,
    "pool_size": INTEGERS,
    "pooling": names("avg", "max"),
    "provable": flags,
    "reduction": names("sum", "mean", "sum_over_batch_size", "mean_with_sample_weight", "none"),
    "sampling": names("left", "midpoint"),
    "scale_regularizer": names_of(keras.regularizers),
    "scheme": names("heun", "symmetric", "semi-implicit", "half-kick"),
    "spectrogram": st.none() | INTEGERS,
    "spectrogram_step": st.none() | INTEGERS,
    "step_size": STEP_SIZES | TEXT | st.lists(STEP_SIZES, max_size=2),
    "split_axis": INTEGERS,
    "steps": SIZES,
    "stored_steps": st.none() | INTEGERS,
    "strides": SIZES,
    "synchronized": flags,
    "tau": NUMBERS,
    "time_basis": names("constant", "linear", "cosine"),
    "time_smoothness": NUMBERS,
    "total_variation": NUMBERS,
    "trainable": flags,
    "units": INTEGERS,
    "use_bias": flags,
    "use_scale": flags,
    "weight_decay": NUMBERS,
    "weights": names("cifar10", "missing.keras"),
    "widths": st.lists(INTEGERS, max_size=3) | st.lists(INTEGERS, max_size=3).map(tuple),
}


@st.composite
def any_case(draw):
    """Draw a legal layer or model, and replace some of its arguments, or the shape, by anything of the right type."""
    make, settings, shape, policy = draw(legal_layers() | legal_models())
    replaced = draw(st.lists(st.sampled_from(sorted(arguments_of(make))), min_size=1, max_size=3, unique=True))
    settings |= {name: draw(ANYTHING[name]) for name in replaced}
    if draw(st.integers(0, 3)) == 0:
        shape = tuple(draw(st.lists(st.integers(0, 5), min_size=1, max_size=6)))
    return Case(make, settings, shape, policy)


# What Keras is given beside layers: losses, regularisers, constraints and initialisers.
PARTS = tuple(
    found
    for module in (losses, regularizers, constraints, initializers)
    for found in vars(module).values()
    if inspect.isclass(found) and found.__module__ == module.__name__
)


@st.composite
def any_part(draw):
    """Draw a loss, regulariser, constraint or initialiser and any arguments of the right type."""
    part = draw(st.sampled_from(PARTS))
    required, optional = {}, {}
    for name, parameter in inspect.signature(part).parameters.items():
        (required if parameter.default is parameter.empty else optional)[name] = ANYTHING[name]
    return part, draw(st.fixed_dictionaries(required, optional=optional))


@pytest.mark.parametrize("make", [*LAYERS, *BUILDERS], ids=lambda make: make.__name__)
def test_every_argument_is_drawn(make):
    required, optional = model_settings(make, 2, 1) if make in BUILDERS else layer_settings(make, 2)
    drawn = {*required, *optional, *(["input_shape"] if make in BUILDERS else [])}
    assert drawn == arguments_of(make)
    assert drawn <= set(ANYTHING)


def run(make, settings, shape, policy):
    """Make a layer or model, take a gradient on features as in training, and call it on them."""
    y = np.random.default_rng(0).normal(size=shape).astype("float32")
    with dtype_policy(policy):
        layer = make(**settings)
    with tf.GradientTape() as tape:
        output = layer(y, training=True)
        loss = tf.reduce_sum(tf.cast(output, "float32")) + sum(tf.cast(loss, "float32") for loss in layer.losses)
    tape.gradient(loss, [weight.value for weight in layer.trainable_weights])
    return layer, y, layer(y, training=False)


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


def value(part):
    """Return what a loss, regulariser, constraint or initialiser gives on some numbers, in float64."""
    x = keras.ops.convert_to_tensor(np.linspace(-2, 2, 12).reshape(2, 1, 2, 3), "float32")
    if isinstance(part, keras.losses.Loss):
        result = part(x, x + 1)
    elif isinstance(part, keras.initializers.Initializer):
        result = part(x.shape)
    else:
        result = part(x)
    return np.asarray(tf.cast(result, "float64"))


@given(any_part())
def test_losses_and_the_like_are_saved_or_refused(case):
    make, settings = case
    keras.utils.set_random_seed(2019)
    try:
        part = make(**settings)
        expected = value(part)
    except ValueError as error:
        assert "Received" in str(error)
        return
    keras.utils.set_random_seed(2019)
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(part))
    assert copy.get_config() == part.get_config()
    np.testing.assert_array_equal(value(copy), expected)
