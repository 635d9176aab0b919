"""The size of a network before it is built: the exact number of its weights, and an estimate of its training memory."""

from __future__ import annotations

import fractions
import functools
import math

from keras import ops

from keras_pdecnn.layers import PDEBlock
from keras_pdecnn.layers.block import default_stored_steps
from keras_pdecnn.models.opening import Opening
from keras_pdecnn.models.spectrogram import Spectrogram
from keras_pdecnn.networks import NETWORKS
from keras_pdecnn.ops.normalization import normalization
from keras_pdecnn.recipes import Recipe
from keras_pdecnn.tasks import TASKS
from keras_pdecnn.tuning.unet_sizes import UNetSizes
from keras_pdecnn.utils import arguments

_FLOAT = 4  # bytes of a number; a mixed policy needs fewer
_KEPT = 3  # arrays that the gradient of one F needs, each of the size of its input: the input, K y and the activation
_FRUGAL = 2  # those of the last steps in other modes than "stored": the input and K y
_WORKING = 16  # features of the widest block that one step, its gradient and the framework hold at a time; measured


def count_weights(recipe: Recipe, input_shape, classes: int) -> int:
    """Return the number of trainable weights of the network of a recipe.

    * Opening convolution: q c0 c + 2 c, with q entries of its kernel (3^d on d space axes) and c0 channels. With
      `opening_width` it leads to that width, and a connector from there to c.
    * Each step of a block: f (s k p^2 + 2 p) with f fields, p = c / parts channels in each, k entries of a kernel, and
      s = 1 kernel of a symmetric layer, or s = 2. That is k c^2 + 2 c for the parabolic network, and
      2 (k (c/2)^2 + c) for the Hamiltonian one. With a time basis, `basis_size` stands for the number of steps.
    * Connector: c c' + 2 c'.
    * Classifier: classes (c' + 1).

    In a provable network, connectors have a bias only: c c' + c', and 2^d c c' + c' where they pool. Its classifier
    reads all n pixels: classes (n c' + 1).

    A network with outputs for every pixel has blocks on the way down and up, connectors both ways, and a 1x1
    convolution in place of the classifier.

    Args:
        recipe: Settings of the network.
        input_shape: (*space, channels) of an example.
        classes: Number of classes.

    Returns:
        The number, which is exact for networks of the shape that the package's own have.

    Example:
        >>> from keras_pdecnn.recipes import RECIPES
        >>> count_weights(RECIPES["cifar10"], (32, 32, 3), 10)
        264106
    """
    seen = _seen_shape(recipe, input_shape)
    rank, channels = len(seen) - 1, seen[-1]
    step = functools.partial(_step_weights, recipe, rank)
    if TASKS[recipe.task].of_pixels:
        return UNetSizes(recipe, tuple(input_shape), classes).weights(step)
    steps, following = _steps(recipe), _following(recipe)
    pooled, normalized = (2**rank, 1) if recipe.provable else (1, 2)  # channels per channel; vectors of a connector
    width = recipe.opening_width or recipe.widths[0]
    total = (_entries(recipe.opening_kernel_size, rank) * channels + normalized) * width
    if recipe.opening_width:
        total += (pooled * width + normalized) * recipe.widths[0]
    for i, (count, c, after) in enumerate(zip(steps, recipe.widths, following, strict=True), start=1):
        window = pooled if i < len(steps) else 1
        total += (recipe.basis_size or count) * step(c) + window * c * after + normalized * after
    pixels = math.prod(n >> (len(steps) - 1) for n in first_space(recipe, input_shape)) if recipe.provable else 1
    return total + classes * (pixels * following[-1] + 1)


def count_multiply_adds(recipe: Recipe, input_shape, classes: int) -> int:
    """Return the number of multiplications, each with an addition, of the prediction of one example.

    They are those of the convolutions and of the classifier, of whose kinds `count_weights` counts the weights: a
    weight of a convolution counts once for each pixel of its result, and a kernel of a symmetric layer twice, because
    its adjoint is applied as well. Training takes about three times as many, and four times with the reversible mode,
    which computes each step again.

    Args:
        recipe: Settings of the network.
        input_shape: (*space, channels) of an example.
        classes: Number of classes.

    Returns:
        The number, which is exact for networks of the shape that the package's own have.

    Example:
        >>> from keras_pdecnn.recipes import RECIPES
        >>> count_multiply_adds(RECIPES["cifar10"], (32, 32, 3), 10)
        83919968
    """
    seen = _seen_shape(recipe, input_shape)
    rank = len(seen) - 1
    step = functools.partial(_step_entries, recipe, rank)
    if TASKS[recipe.task].of_pixels:
        return UNetSizes(recipe, tuple(input_shape), classes).multiply_adds(step)
    opening = _opening(recipe, rank)
    pixels = math.prod(opening.strided(seen[:-1]))
    width = recipe.opening_width or recipe.widths[0]
    total = pixels * _entries(recipe.opening_kernel_size, rank) * seen[-1] * width
    if recipe.opening_width:
        total += pixels * width * recipe.widths[0]
    space = first_space(recipe, input_shape)
    steps, following = _steps(recipe), _following(recipe)
    for count, c, after in zip(steps, recipe.widths, following, strict=True):
        pixels = math.prod(space)
        total += pixels * (count * step(c) + c * after)
        last, space = pixels, [max(1, n // 2) for n in space]
    return total + classes * following[-1] * (last if recipe.provable else 1)


def training_memory(recipe: Recipe, input_shape, classes: int) -> int:
    """Return an estimate of the memory of training in bytes, besides that of the data and the framework.

    Features of block i take S_i = 4 batch * space_i * c_i bytes. A step keeps A_i = 3 S_i fields / parts for its
    gradient, 3 S_i in each of the package's networks. A state takes Z_i: 2 S_i if it is features and their velocity, as
    in the second-order network, otherwise S_i. The estimate is the sum of

    * weights, gradients and momentum: 12 bytes per weight;
    * opening and connectors: three features each with "stored", one with the other modes;
    * block i with N steps: "stored" N A_i; the other modes 2/3 A_i for each of the last two steps (or of up to three,
      if there are no more) and, for the M steps before them, "reversible" Z_i, and "checkpointed" ceil(M / k) Z_i + k
      A_i with k = ceil(sqrt(N));
    * working room: 16 times the largest S_i.

    For ten networks on a processor the estimate was 1.03 to 1.4 times the measured peak.

    Args:
        recipe: Settings of the network, and the batch size.
        input_shape: (*space, channels) of an example.
        classes: Number of classes.

    Returns:
        Number of bytes.

    Example:
        >>> training_memory(Recipe(), (8, 8, 1), 10) < 100e6
        True
    """
    seen = _seen_shape(recipe, input_shape)
    rank = len(seen) - 1
    space = _opening(recipe, rank).strided(seen[:-1])
    features = lambda c: _FLOAT * recipe.batch_size * math.prod(space) * c  # noqa: E731
    block = NETWORKS[recipe.architecture].block
    backprop = recipe.backprop or block.default_backprop()
    kept = _KEPT if backprop == "stored" else 1  # by a connector
    weights = 3 * _FLOAT * count_weights(recipe, input_shape, classes)
    if TASKS[recipe.task].of_pixels:
        unet = UNetSizes(recipe, tuple(input_shape), classes)
        total, largest = 0, 0
        for level, count, c in unet.blocks():
            size = _FLOAT * recipe.batch_size * unet.pixels(level) * c
            largest = max(largest, size)
            total += math.ceil(_kept(block, backprop, count) * size) + kept * size
        return weights + total + _WORKING * largest
    total, largest = kept * features(recipe.opening_width or recipe.widths[0]), 0
    if recipe.opening_width:
        total += kept * features(recipe.widths[0])
        space = first_space(recipe, input_shape)
    for count, c, after in zip(_steps(recipe), recipe.widths, _following(recipe), strict=True):
        largest = max(largest, features(c))
        total += math.ceil(_kept(block, backprop, count) * features(c)) + kept * features(after)
        space = [max(1, space[axis] // 2) for axis in range(rank)]
    return weights + total + _WORKING * largest


def _step_weights(recipe: Recipe, rank: int, width: int) -> int:
    """Return the number of weights of a step of a block of this width."""
    block = NETWORKS[recipe.architecture].block
    kernels = 1 if block.symmetric else 2
    vectors = 1 + normalization(recipe.normalization).has_scale  # a bias and, with some normalisations, a scale
    part = width // block.integrator.parts
    return block.integrator.fields * (kernels * _entries(recipe.kernel_size, rank) * part**2 + vectors * part)


def _step_entries(recipe: Recipe, rank: int, width: int) -> int:
    """Return the number of multiplications of a step of a block of this width, per pixel."""
    integrator = NETWORKS[recipe.architecture].block.integrator
    return 2 * _entries(recipe.kernel_size, rank) * integrator.fields * (width // integrator.parts) ** 2


def first_space(recipe: Recipe, input_shape) -> list:
    """Return the sizes of the space axes in the first block of the network of a recipe, None where they are not known.

    Args:
        recipe: Settings of the network.
        input_shape: (*space, channels) of an example.

    Example:
        >>> first_space(Recipe(opening_stride=4), (8000, 1))
        [2000]
    """
    shape = _seen_shape(recipe, input_shape)
    return _opening(recipe, len(shape) - 1).output_space(shape[:-1])


def _seen_shape(recipe: Recipe, input_shape) -> tuple:
    """Return the shape of what the opening takes: that of the spectrogram, or of the example itself."""
    if recipe.spectrogram is None:
        return tuple(input_shape)
    return Spectrogram(recipe.spectrogram, recipe.spectrogram_step).output_shape(tuple(input_shape))


def _kept(block: type[PDEBlock], backprop: str, steps: int) -> fractions.Fraction:
    """Return what a block keeps for the gradient of so many steps, in multiples of its features."""
    integrator = block.integrator
    per_step = fractions.Fraction(_KEPT * integrator.fields, integrator.parts)
    state = _state_size(block)
    if backprop == "stored":
        return per_step * steps
    stored = default_stored_steps(steps)
    last = per_step * fractions.Fraction(_FRUGAL, _KEPT) * stored
    if stored == steps:
        return last
    if backprop == "reversible":
        return last + state
    segment = math.isqrt(steps - 1) + 1
    return last + math.ceil((steps - stored) / segment) * state + per_step * segment


def _state_size(block: type[PDEBlock]) -> fractions.Fraction:
    """Return the size of the state of a block, in multiples of its features."""
    parts = block.integrator.parts
    state = block.integrator.start(ops.zeros((1, 1, parts)))
    return fractions.Fraction(sum(math.prod(part.shape) for part in state), parts)


def _entries(kernel_size: int | tuple[int, ...], rank: int) -> int:
    """Return the number of entries of a kernel on so many space axes."""
    return math.prod(arguments.per_entry("kernel_size", kernel_size, rank, "space axis"))


def _opening(recipe: Recipe, rank: int) -> Opening:
    return Opening(recipe.opening_kernel_size, recipe.opening_stride, recipe.opening_width, rank)


def _steps(recipe: Recipe) -> tuple:
    return arguments.per_entry("steps", recipe.steps, len(recipe.widths), "block")


def _following(recipe: Recipe) -> tuple:
    return (*recipe.widths[1:], recipe.head_width or recipe.widths[-1])
