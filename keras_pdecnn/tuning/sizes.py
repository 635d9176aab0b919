"""The size of a network before it is built: its number of weights, exactly; the memory of its training, estimated."""

from __future__ import annotations

import math

from keras_pdecnn.layers.block import STORED_STEPS
from keras_pdecnn.ops.normalization import normalization
from keras_pdecnn.recipes import Recipe
from keras_pdecnn.utils import arguments

_FLOAT = 4  # bytes; under a mixed policy the estimate is an upper one
_KEPT = 3  # features that the gradient of one step needs: its input, K y and the activation
_WORKING = 16  # features of the widest block that one step, its gradient and the framework hold at a time; measured


def count_weights(recipe: Recipe, input_shape, classes: int) -> int:
    """Return the number of trainable weights of the network of a recipe.

    Opening 3^d c0 c + 2 c; each step k c^2 + 2 c, for Hamiltonian 2 (k (c/2)^2 + c), for residual 2 k c^2 + 2 c, with k
    entries of a kernel; connector c c' + 2 c'; classifier classes (c' + 1). With a time basis, `basis_size` stands for
    the number of steps. In a provable network the connectors have a bias only, those that pool 2^d c c' + c', and the
    classifier reads p pixels, classes (p c' + 1).

    Args:
        recipe: Settings of the network.
        input_shape: (*space, channels) of an example.
        classes: Number of classes.

    Example:
        >>> from keras_pdecnn.recipes import RECIPES
        >>> count_weights(RECIPES["cifar10"], (32, 32, 3), 10)
        264106
    """
    rank, channels = len(input_shape) - 1, input_shape[-1]
    size = recipe.kernel_size
    kernel = math.prod(size) if isinstance(size, tuple) else size**rank
    vectors = 1 + normalization(recipe.normalization).has_scale  # a bias and, with some normalisations, a scale

    def step(c):
        if recipe.architecture == "hamiltonian":
            return 2 * (kernel * (c // 2) ** 2 + vectors * (c // 2))
        return (2 if recipe.architecture == "residual" else 1) * kernel * c**2 + vectors * c

    steps, following = _steps(recipe), _following(recipe)
    pooled, normalized = (2**rank, 1) if recipe.provable else (1, 2)  # channels per channel; vectors of a connector
    total = (3**rank * channels + normalized) * recipe.widths[0]
    for i, (count, c, after) in enumerate(zip(steps, recipe.widths, following, strict=True), start=1):
        window = pooled if i < len(steps) else 1
        total += (recipe.basis_size or count) * step(c) + window * c * after + normalized * after
    pixels = math.prod(n >> (len(steps) - 1) for n in input_shape[:-1]) if recipe.provable else 1
    return total + classes * (pixels * following[-1] + 1)


def training_memory(recipe: Recipe, input_shape, classes: int) -> int:
    """Return an estimate of the memory of training in bytes, without data and framework.

    With S_i = 4 batch * space_i * c_i bytes of features of block i, it is the sum of

    * weights, gradients and momentum: 12 bytes per weight;
    * opening and connectors: three features each;
    * what block i keeps of its N steps: stored 3 N S_i; in the other modes 3 S_i for each of the last two, and of the
      M = N - 2 before them: reversible one state; checkpointed, with k = ceil(sqrt(N)), ceil(M / k) states and 3 k S_i;
      a state is S_i, for the second-order network 2 S_i;
    * working room: 16 times the largest S_i.

    For ten networks on a processor it was 1.03 to 1.4 times the measured peak.

    Args:
        recipe: Settings of the network and its batch size.
        input_shape: (*space, channels) of an example.
        classes: Number of classes.

    Example:
        >>> training_memory(Recipe(), (8, 8, 1), 10) < 100e6
        True
    """
    space, rank = list(input_shape[:-1]), len(input_shape) - 1
    features = lambda c: _FLOAT * recipe.batch_size * math.prod(space) * c  # noqa: E731
    total, largest = _KEPT * features(recipe.widths[0]), 0
    for count, c, after in zip(_steps(recipe), recipe.widths, _following(recipe), strict=True):
        largest = max(largest, features(c))
        total += _kept(recipe, count) * features(c) + _KEPT * features(after)
        space = [max(1, space[axis] // 2) for axis in range(rank)]
    return 3 * _FLOAT * count_weights(recipe, input_shape, classes) + total + _WORKING * largest


def _kept(recipe: Recipe, steps: int) -> int:
    """Return how many features a block keeps for the gradient of so many steps."""
    reversible = recipe.architecture in ("hamiltonian", "second_order")
    backprop = recipe.backprop or ("reversible" if reversible else "stored")
    state = 2 if recipe.architecture == "second_order" else 1
    if backprop == "stored" or steps <= STORED_STEPS:
        return _KEPT * steps
    last = _KEPT * STORED_STEPS
    if backprop == "reversible":
        return last + state
    segment = math.isqrt(steps - 1) + 1
    return last + math.ceil((steps - STORED_STEPS) / segment) * state + _KEPT * segment


def _steps(recipe: Recipe) -> tuple:
    return arguments.per_entry("steps", recipe.steps, len(recipe.widths), "block")


def _following(recipe: Recipe) -> tuple:
    return (*recipe.widths[1:], recipe.head_width or recipe.widths[-1])
