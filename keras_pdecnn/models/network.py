"""The common part of all networks: opening layer, blocks, connectors and classifier, in this order."""

from __future__ import annotations

import math

import keras

from keras_pdecnn import layers
from keras_pdecnn.models.blocks import Blocks
from keras_pdecnn.models.certified import CertifiedParts, check_input_size
from keras_pdecnn.models.channels import channels_last, from_channels_last
from keras_pdecnn.models.model import PDEModel
from keras_pdecnn.models.opening import Opening
from keras_pdecnn.models.ordinary import OrdinaryParts
from keras_pdecnn.models.pretrained import load_pretrained
from keras_pdecnn.models.settings import check_input_shape, check_names
from keras_pdecnn.models.spectrogram import Spectrogram
from keras_pdecnn.ops import layout
from keras_pdecnn.utils import arguments


def build_network(
    block: type[layers.PDEBlock],
    builder: str,
    *,
    input_shape,
    classes,
    widths,
    head_width,
    steps,
    step_size,
    time_smoothness,
    weight_decay,
    box,
    include_top,
    include_preprocessing,
    classifier_activation,
    pooling,
    synchronized,
    provable,
    lipschitz,
    weights,
    name,
    max_step_size,
    data_format,
    opening_kernel_size,
    opening_stride,
    opening_width,
    dropout,
    spectrogram,
    spectrogram_step,
    pool,
    block_kwargs: dict,
    orthogonal: bool = False,
) -> PDEModel:
    """Build the network of one kind of block, for a builder such as `ParabolicCNN`, whose arguments the others are.

    `builder` is the name of the function that the user called, for messages.

    Raises:
        ValueError: If an argument is unknown or outside its range, or the input is too small for so many blocks.
    """
    check_names(build_network, block, builder, block_kwargs)
    regularization = time_smoothness, weight_decay, box
    blocks = Blocks(block, widths, steps, step_size, max_step_size, *regularization, block_kwargs, entry="block")
    widths = blocks.widths
    head_width = widths[-1] if head_width is None else arguments.check_positive_integer("head_width", head_width)
    arguments.check_choice("pooling", pooling, (None, "avg", "max"))
    include_preprocessing = arguments.check_flag("include_preprocessing", include_preprocessing)
    include_top = arguments.check_flag("include_top", include_top)
    synchronized = arguments.check_flag("synchronized", synchronized)
    data_format = layout.standardize_data_format(data_format)
    input_shape = check_input_shape(input_shape, data_format)
    provable = arguments.check_flag("provable", provable)
    front_end = _front_end(spectrogram, spectrogram_step, provable)
    shape = layout.shape_to_channels_last((None, *input_shape), data_format)[1:]
    shape = shape if front_end is None else front_end.output_shape(shape)
    opening = Opening(opening_kernel_size, opening_stride, opening_width, rank=len(shape) - 1)
    pool_sizes = _pool_sizes(pool, len(widths))
    _check_number_of_blocks(shape[:-1], input_shape, widths, opening, pool, pool_sizes)
    dropout = arguments.check_fraction("dropout", dropout)
    lipschitz = arguments.check_positive("lipschitz", lipschitz)
    if arguments.check_flag("orthogonal", orthogonal) and not provable:
        raise ValueError("orthogonal=True needs a provable network. Received: orthogonal=True, provable=False")
    if include_top:
        arguments.check_positive_integer("classes", classes)
        classifier_activation = arguments.look_up("classifier_activation", keras.activations.get, classifier_activation)

    decay = blocks.kernel_regularizer
    if provable and include_top:
        check_input_size(input_shape)
    parts = (
        CertifiedParts(block, lipschitz, decay, orthogonal)
        if provable
        else OrdinaryParts(synchronized, decay, blocks.backprop)
    )
    append_block = blocks.among(parts)

    state_dtype = keras.config.dtype_policy().variable_dtype
    inputs = keras.Input(input_shape, dtype=state_dtype, name="input")
    y = _prepare(inputs, front_end, include_preprocessing, data_format, state_dtype)
    y = opening(y, parts, widths[0])
    following = (*widths[1:], head_width)
    for index, (filters, size) in enumerate(zip(following, pool_sizes, strict=True)):
        y = append_block(y, index, f"block_{index + 1}")
        y = parts.connector(filters, pool_size=size, name=f"connector_{index + 1}")(y)

    if include_top:
        y = _drop(_pool(y, parts.pooling, state_dtype), dropout, state_dtype)
        y = parts.classifier(classes, activation=classifier_activation, dtype=state_dtype, name="classifier")(y)
    elif pooling is not None:
        y = _pool(y, pooling, state_dtype)
    else:
        y = from_channels_last(y, data_format)
    return load_pretrained(PDEModel(inputs, y, name=name), weights, builder, include_top)


def _front_end(frame_length, frame_step, provable: bool) -> Spectrogram | None:
    """Return the spectrogram that comes before the network, or None."""
    if frame_length is None:
        if frame_step is not None:
            raise ValueError(
                f"spectrogram_step needs a spectrogram. Received: spectrogram=None, spectrogram_step={frame_step!r}"
            )
        return None
    if provable:
        raise ValueError(
            "No Lipschitz bound of a spectrogram is known, so that a provable network has none. "
            f"Received: provable=True, spectrogram={frame_length!r}"
        )
    return Spectrogram(frame_length, frame_step)


def _pool_sizes(pool, count: int) -> tuple[int, ...]:
    """Return by which factor the space axes shrink behind each block; a single factor is not for the last one."""
    sizes = arguments.per_entry("pool", pool, count, "block")
    sizes = tuple(arguments.check_positive_integer("pool", size) for size in sizes)
    return sizes if isinstance(pool, tuple | list) else (*sizes[:-1], 1)


def _check_number_of_blocks(
    space: tuple, input_shape: tuple, widths: tuple[int, ...], opening: Opening, pool, pool_sizes: tuple[int, ...]
):
    """Raise ValueError if the pooling between the blocks would leave nothing of one of the space axes of the opening.

    `input_shape` and `pool` are what the user gave, for the message.
    """
    known = [size for size in opening.output_space(space) if size is not None]
    if not known or min(known) >= math.prod(pool_sizes):
        return
    if pool != 2:
        raise ValueError(
            f"Pooling by {' x '.join(map(str, pool_sizes))} leaves nothing of an axis with {min(known)} "
            f"pixels{opening.described()}. Received: input_shape={input_shape}, pool={pool}{opening.received()}"
        )
    fitting = min(known).bit_length()
    blocks = {0: "no block fits", 1: "one block fits"}.get(fitting, f"at most {fitting} blocks fit")
    raise ValueError(
        f"{len(widths)} blocks halve every space axis {len(widths) - 1} times. That leaves nothing of an axis with "
        f"{min(known)} pixels{opening.described()}: {blocks} an input of this size. "
        f"Received: input_shape={input_shape}, widths={widths}{opening.received()}"
    )


def _prepare(y, front_end: Spectrogram | None, standardize: bool, data_format: str, dtype: str):
    """Return the input of the opening, with the channels last, for the examples of a user."""
    if front_end is not None:
        y, data_format = front_end.layer(dtype=dtype)(channels_last(y, data_format, dtype)), "channels_last"
    y = layers.Standardization(name="standardization")(y) if standardize else y
    return channels_last(y, data_format, dtype)


def _drop(y, rate: float, dtype: str):
    """Return features with dropout; without it, as they are."""
    return keras.layers.Dropout(rate, dtype=dtype, name="dropout")(y) if rate else y


def _pool(y, pooling: str, dtype: str):
    """Return features as one vector per example: the average or maximum of each channel, or all of them."""
    settings = {"data_format": "channels_last", "dtype": dtype}
    if pooling == "flatten":
        return keras.layers.Flatten(name="flatten", **settings)(y)
    kind, name = {"avg": ("Average", "average"), "max": ("Max", "maximum")}[pooling]
    layer = getattr(keras.layers, f"Global{kind}Pooling{len(y.shape) - 2}D")
    return layer(name=name, **settings)(y)
