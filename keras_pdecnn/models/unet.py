"""The common part of the networks with one output per pixel: down to coarse grids, up again, and skip connections."""

from __future__ import annotations

from collections.abc import Callable

import keras

from keras_pdecnn import layers
from keras_pdecnn.layers.padding import CropLike, PadToMultiple
from keras_pdecnn.models.blocks import Blocks
from keras_pdecnn.models.certified import CertifiedParts
from keras_pdecnn.models.channels import channels_last, from_channels_last
from keras_pdecnn.models.model import PDEModel
from keras_pdecnn.models.ordinary import OrdinaryParts
from keras_pdecnn.models.pretrained import load_pretrained
from keras_pdecnn.models.settings import check_input_shape, check_names
from keras_pdecnn.ops import layout
from keras_pdecnn.utils import arguments

SKIPS = ("add", "concatenate")


def build_unet(
    block: type[layers.PDEBlock],
    builder: str,
    *,
    input_shape,
    outputs,
    widths,
    output_activation,
    steps,
    step_size,
    skip,
    restoration,
    max_value,
    time_smoothness,
    weight_decay,
    box,
    include_preprocessing,
    synchronized,
    provable,
    weights,
    name,
    max_step_size,
    data_format,
    block_kwargs: dict,
) -> PDEModel:
    """Build the U-Net of one kind of block, for a builder such as `ParabolicUNet`, whose arguments the others are.

    `builder` is the name of the function that the user called, for messages.

    Raises:
        ValueError: If an argument is unknown or outside its range, or two arguments contradict each other.
    """
    check_names(build_unet, block, builder, block_kwargs)
    regularization = time_smoothness, weight_decay, box
    blocks = Blocks(block, widths, steps, step_size, max_step_size, *regularization, block_kwargs, entry="width")
    widths = blocks.widths
    arguments.check_choice("skip", skip, SKIPS)
    restoration = arguments.check_flag("restoration", restoration)
    max_value = arguments.check_positive("max_value", max_value)
    if max_value != 1 and not restoration:
        raise ValueError(
            "Only a restoration keeps the unit of its input, so that it needs the value of white. "
            f"Received: max_value={max_value}, restoration=False"
        )
    synchronized = arguments.check_flag("synchronized", synchronized)
    provable = arguments.check_flag("provable", provable)
    data_format = layout.standardize_data_format(data_format)
    input_shape = check_input_shape(input_shape, data_format)
    channels = layout.shape_to_channels_last((None, *input_shape), data_format)[-1]
    outputs = _check_outputs(outputs, channels, restoration)
    standardize = _check_preprocessing(include_preprocessing, restoration, provable)
    activation = arguments.look_up("output_activation", keras.activations.get, output_activation)
    if (restoration or provable) and activation is not keras.activations.linear:
        raise ValueError(
            "A network with restoration=True or provable=True has no output_activation. "
            f"Received: output_activation={arguments.describe(output_activation)}"
        )
    if provable and skip != "add":
        raise ValueError(
            "The skip connections of a provable network are averages, as a concatenation enlarges distances. "
            f"Received: provable=True, skip={skip!r}"
        )

    decay = blocks.kernel_regularizer
    parts = CertifiedParts(block, 1.0, decay) if provable else OrdinaryParts(synchronized, decay, blocks.backprop)
    append_block = blocks.among(parts)

    dtype = keras.config.dtype_policy().variable_dtype
    inputs = keras.Input(input_shape, dtype=dtype, name="input")
    y = layers.Standardization(name="standardization")(inputs) if standardize else inputs
    y = keras.layers.Rescaling(1 / max_value, dtype=dtype, name="from_pixels")(y) if max_value != 1 else y
    y = original = channels_last(y, data_format, dtype)
    multiple = 2 ** (len(widths) - 1)
    pads = any(n is None or n % multiple for n in original.shape[1:-1])
    if pads:
        y = PadToMultiple(multiple, dtype=dtype, name="padding")(y)
    y = parts.connector(widths[0], kernel_size=3, pool_size=1, name="opening")(y)
    y = _cycle(y, append_block, parts, widths, skip, dtype)
    if pads:
        y = CropLike(dtype=dtype, name="cropping")([y, original])
    y = parts.head(outputs, activation, restoration, rank=len(original.shape) - 2, dtype=dtype, name="head")(y)
    if restoration:
        y = parts.correct(original, y, dtype=dtype, name="correction")
    y = keras.layers.Rescaling(max_value, dtype=dtype, name="to_pixels")(y) if max_value != 1 else y
    y = from_channels_last(y, data_format)
    return load_pretrained(PDEModel(inputs, y, name=name), weights, builder, include_top=True)


def _cycle(
    y, append_block: Callable, parts: OrdinaryParts | CertifiedParts, widths: tuple[int, ...], skip: str, dtype: str
):
    """Return features after blocks on all grids, down to the coarsest and up again: one cycle of a multigrid method.

    `append_block` is that of `Blocks.among`.
    """
    coarsest = len(widths) - 1
    skips = []
    for level in range(coarsest):
        y = append_block(y, level, f"block_{level + 1}")
        skips.append(y)
        y = parts.connector(widths[level + 1], pool_size=2, name=f"connector_{level + 1}")(y)
    y = append_block(y, coarsest, f"block_{coarsest + 1}")
    for level in reversed(range(coarsest)):
        number = 2 * coarsest - level + 1
        y = parts.refining_connector(widths[level], name=f"connector_{number - 1}")(y)
        y = parts.join(skip, skips[level], y, dtype=dtype, name=f"skip_{level + 1}")
        if skip == "concatenate":
            y = parts.connector(widths[level], pool_size=1, name=f"mixing_{level + 1}")(y)
        y = append_block(y, level, f"block_{number}")
    return y


def _check_outputs(outputs, channels: int, restoration: bool) -> int:
    """Return the number of outputs per pixel, which restoration takes from the input."""
    if not restoration:
        return arguments.check_positive_integer("outputs", outputs)
    if outputs not in (None, channels):
        raise ValueError(
            f"The output of a restoration has the {channels} channels of its input. "
            f"Received: restoration=True, outputs={arguments.describe(outputs)}"
        )
    return channels


def _check_preprocessing(include_preprocessing, restoration: bool, provable: bool) -> bool:
    """Return whether the network standardises its input, by default unless it restores it or has a bound."""
    if include_preprocessing is None:
        return not (restoration or provable)
    if arguments.check_flag("include_preprocessing", include_preprocessing) and restoration:
        raise ValueError(
            "A restoration adds a correction to the input, so that it keeps the unit of the input: give the value of "
            "white as max_value, or scale the images yourself. Received: restoration=True, include_preprocessing=True"
        )
    return bool(include_preprocessing)
