"""The four networks as functional Keras models."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable

import keras

from keras_pdecnn import layers
from keras_pdecnn.constraints import Box
from keras_pdecnn.models.model import PDEModel
from keras_pdecnn.regularizers import TimeSmoothness
from keras_pdecnn.utils import arguments

__all__ = ["HamiltonianCNN", "PDEModel", "ParabolicCNN", "ResidualCNN", "SecondOrderCNN"]

_PROVABLE = """
    With `provable` the logits are Lipschitz with a small constant, which `stability.certified_radius` turns into radii:
    steps without normalisation by default, with `step_size="auto"` (a number bounds it like `max_step_size`);
    opening and connectors with a norm of at most 1 and a bias in place of the batch normalisation; pixels that become
    channels in place of averages; and a classifier that reads all pixels and scales by `lipschitz`.
"""


def _builder(
    block: type[layers.PDEBlock], function_name: str, default_name: str, summary: str
) -> Callable[..., PDEModel]:
    """Return the function that builds the network of one kind of block."""

    def build(
        input_shape,
        classes=None,
        widths=(32, 64, 112),
        head_width=None,
        steps=3,
        step_size=1.0,
        time_smoothness=0.0,
        weight_decay=0.0,
        box=None,
        include_top=True,
        include_preprocessing=True,
        classifier_activation="softmax",
        pooling=None,
        synchronized=False,
        provable=False,
        lipschitz=2.0,
        name=None,
        max_step_size=1.0,
        **block_kwargs,
    ) -> PDEModel:
        widths = arguments.check_entries("widths", widths, arguments.check_positive_integer)
        steps = arguments.per_entry("steps", steps, len(widths), "block")
        steps = tuple(arguments.check_positive_integer("steps", count) for count in steps)
        step_size = arguments.per_entry("step_size", step_size, len(widths), "block")
        max_step_size = arguments.per_entry("max_step_size", max_step_size, len(widths), "block")
        head_width = widths[-1] if head_width is None else arguments.check_positive_integer("head_width", head_width)
        alpha1 = arguments.check_non_negative("time_smoothness", time_smoothness)
        alpha2 = arguments.check_non_negative("weight_decay", weight_decay)
        box = None if box is None else arguments.check_positive("box", box)
        arguments.check_choice("pooling", pooling, (None, "avg", "max"))
        include_preprocessing = arguments.check_flag("include_preprocessing", include_preprocessing)
        include_top = arguments.check_flag("include_top", include_top)
        input_shape = _check_input_shape(input_shape)
        lipschitz = arguments.check_positive("lipschitz", lipschitz)
        if arguments.check_flag("provable", provable):
            _check_provable(block, include_top, input_shape)
            step_size, max_step_size = _automatic_steps(step_size, max_step_size)
        if include_top:
            arguments.check_positive_integer("classes", classes)
            classifier_activation = arguments.look_up(
                "classifier_activation", keras.activations.get, classifier_activation
            )
        decay = keras.regularizers.L2(alpha2 / 2) if alpha2 else None
        state_dtype = keras.config.dtype_policy().variable_dtype

        def connector(filters, name, **settings):
            return layers.Connector(
                filters,
                synchronized=synchronized,
                provable=provable,
                kernel_initializer="orthogonal" if provable else "he_normal",
                kernel_regularizer=decay,
                name=name,
                **settings,
            )

        inputs = keras.Input(input_shape, dtype=state_dtype, name="input")
        y = layers.Standardization(name="standardization")(inputs) if include_preprocessing else inputs
        y = connector(widths[0], "opening", kernel_size=3, pool_size=1)(y)
        following = (*widths[1:], head_width)
        per_block = zip(steps, step_size, max_step_size, following, strict=True)
        for i, (count, h, largest, filters) in enumerate(per_block, start=1):
            settings = {**_regularization(alpha1, alpha2, largest if h == "auto" else h, box), **block_kwargs}
            if provable:
                settings = {"normalization": None, "max_gain": block.bounded_gain(count), **settings}
            y = block(count, step_size=h, max_step_size=largest, name=f"block_{i}", **settings)(y)
            y = connector(filters, f"connector_{i}", pool_size=2 if i < len(widths) else 1)(y)

        if include_top:
            pooling = "flatten" if provable else "avg"
        y = _pool(y, pooling, state_dtype)
        if include_top:
            settings = {"activation": classifier_activation, "dtype": state_dtype, "name": "classifier"}
            settings.update(kernel_regularizer=decay, bias_regularizer=decay)
            dense = functools.partial(layers.NormalizedDense, lipschitz=lipschitz) if provable else keras.layers.Dense
            y = dense(classes, **settings)(y)
        return PDEModel(inputs, y, name=name or default_name)

    provable = _PROVABLE if block.symmetric else ""
    build.__name__ = build.__qualname__ = function_name
    build.__doc__ = f"""{summary}

    Opening 3x3 convolution, batch normalisation and ReLU; per block, N steps at constant width and a connector (1x1
    convolution, batch normalisation, ReLU, average pooling by 2); after the last connector the global average of each
    channel and a dense classifier. It works on signals, images and video by the rank of `input_shape`.
    {provable}
    Args:
        input_shape: (*space, channels) of one example, one to three space axes; space may be None.
        classes: Number of classes; needed with `include_top`, default None.
        widths: Width of each block; default (32, 64, 112).
        head_width: Width after the last connector; default widths[-1].
        steps: Number of time steps, one number or one per block; default 3.
        step_size: h, one number or one per block; default 1. "auto": as large as the theory allows for the current
            weights of a block, see `layers.PDEBlock`.
        time_smoothness: alpha1 of the regulariser (eq. 13), on kernel, scale and bias of the blocks; default 0.
        weight_decay: alpha2 of the regulariser, on every kernel and on the classifier; default 0. It is part of the
            loss.
        box: Bound on the absolute value of the blocks' kernel entries; default None, the paper has 1.
        include_top: Whether the classifier is part of the model; default True.
        include_preprocessing: Whether the model standardises each example itself, so that it takes raw pixels;
            default True.
        classifier_activation: "softmax" (default) or None for logits.
        pooling: Without top: None (default, feature maps), "avg" or "max".
        synchronized: Whether batch statistics are taken over all replicas; default False.
        provable: Whether the network is built so that `stability.lipschitz_bound` is small; default False.
        lipschitz: With `provable`, the Lipschitz constant that the logits are scaled to; default 2. A smaller one asks
            for larger margins: more certified, less accuracy.
        name: Name of the model; default "{default_name}".
        max_step_size: Upper bound of the step size "auto", one number or one per block; default 1. With "auto", the
            regulariser takes it for h.
        **block_kwargs: Further arguments of every block, see `layers.{block.__name__}`.

    Returns:
        A `PDEModel`, (batch, *space, channels) -> (batch, classes).

    Raises:
        ValueError: If an argument is outside its range, or pooling would leave nothing of an axis.

    Example:
        >>> {function_name}((32, 32, 3), classes=10).output_shape
        (None, 10)
    """
    return build


def _check_input_shape(shape) -> tuple:
    """Return the shape of one example as a tuple of int or None; it may come from an array, a list, a TensorShape."""
    try:
        sizes = tuple(None if n is None else operator.index(n) for n in shape)
    except (TypeError, ValueError):
        sizes = ()
    if not 2 <= len(sizes) <= 4 or sizes[-1] is None or any(n is not None and n < 1 for n in sizes):
        raise ValueError(
            "input_shape must be (*space, channels) of one example, with one to three space axes. "
            f"Received: input_shape={shape!r}"
        )
    return sizes


def _regularization(alpha1: float, alpha2: float, h: float, box: float | None) -> dict:
    """Return the arguments of a block for the regulariser (eq. 13) and the box constraint."""
    settings = {}
    if alpha1 or alpha2:
        settings["kernel_regularizer"] = TimeSmoothness(alpha1, alpha2, h)
    if alpha1:
        settings["scale_regularizer"] = settings["bias_regularizer"] = TimeSmoothness(alpha1, 0.0, h)
    if box is not None:
        settings["kernel_constraint"] = Box(-box, box)
    return settings


def _pool(y, pooling: str | None, dtype: str):
    """Return features as one vector per example: the average or maximum of each channel, or all of them; or as maps."""
    if pooling is None:
        return y
    settings = {"data_format": "channels_last", "dtype": dtype}
    if pooling == "flatten":
        return keras.layers.Flatten(name="flatten", **settings)(y)
    kind, name = {"avg": ("Average", "average"), "max": ("Max", "maximum")}[pooling]
    layer = getattr(keras.layers, f"Global{kind}Pooling{len(y.shape) - 2}D")
    return layer(name=name, **settings)(y)


def _automatic_steps(step_size: tuple, max_step_size: tuple) -> tuple[tuple[str, ...], tuple[float, ...]]:
    """Return step_size "auto" for every block, with upper bounds that hold what was given as a number."""
    for h, largest in zip(step_size, max_step_size, strict=True):
        arguments.check_step_size("step_size", h)
        arguments.check_positive("max_step_size", largest)
    largest = (m if h == "auto" else min(h, m) for h, m in zip(step_size, max_step_size, strict=True))
    return ("auto",) * len(step_size), tuple(largest)


def _check_provable(block: type[layers.PDEBlock], include_top: bool, input_shape: tuple):
    """Refuse what cannot be built with a small Lipschitz bound."""
    if not block.symmetric:
        raise ValueError("Nothing makes the steps of a residual network non-expansive. Received: provable=True")
    if include_top and None in input_shape:
        raise ValueError(
            "The classifier of a provable network reads every pixel of the last features, so it needs a known size. "
            f"Received: input_shape={input_shape}"
        )


ParabolicCNN = _builder(
    layers.ParabolicBlock,
    "ParabolicCNN",
    "parabolic_cnn",
    "Build a parabolic network (eq. 8), a nonlinear heat equation in time.",
)
HamiltonianCNN = _builder(
    layers.HamiltonianBlock,
    "HamiltonianCNN",
    "hamiltonian_cnn",
    "Build a Hamiltonian network (eq. 10), reversible and half the weights.",
)
SecondOrderCNN = _builder(
    layers.SecondOrderBlock,
    "SecondOrderCNN",
    "second_order_cnn",
    "Build a second-order network (eq. 11), a nonlinear wave equation.",
)
ResidualCNN = _builder(
    layers.ResidualBlock,
    "ResidualCNN",
    "residual_cnn",
    "Build a residual network (eq. 3) of the same shape, for comparison.",
)
