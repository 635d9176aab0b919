"""What every task has to say: its targets, network, loss and metrics, and what becomes of predictions."""

from __future__ import annotations

import abc
import collections
import dataclasses
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np

from keras_pdecnn.utils import arguments

AUGMENTATION = (
    *("flip", "pad", "rotate", "zoom", "time_shift", "gain", "noise", "cutout", "time_mask", "frequency_mask"),
    *("mixup", "cutmix", "rand_augment"),
)
"""The random changes of training examples, see `data.Augmentation`."""

CNN_SETTINGS = (
    *("widths", "head_width", "steps", "step_size", "max_step_size", "time_smoothness", "weight_decay", "box"),
    *("synchronized", "provable", "lipschitz", "time_basis", "basis_size", "kernel_size", "activation"),
    *("normalization", "padding", "backprop"),
    *("opening_kernel_size", "opening_stride", "opening_width", "dropout", "spectrogram", "spectrogram_step"),
)
"""The settings of a recipe that the builder of a network with one vector per example takes under the same name."""

UNMIXED: dict[str, Any] = {
    **{"loss": "classification", "label_smoothing": 0.0, "mixup": 0.0, "cutmix": 0.0, "evaluate_flipped": False}
}
"""Settings of a recipe without what is for classes of examples alone."""

OF_EXAMPLES: dict[str, Any] = {"patch": None, "patches": 1, "degradation": None, "mask_colors": None}
"""Settings of a recipe without what is for outputs of every pixel alone."""

UNET_SETTINGS = (
    *("widths", "steps", "step_size", "max_step_size", "time_smoothness", "weight_decay", "box", "synchronized"),
    *("provable", "time_basis", "basis_size", "kernel_size", "activation", "normalization", "padding", "backprop"),
)
"""The settings of a recipe that the builder of a network with outputs for every pixel takes under the same name."""


@dataclasses.dataclass(frozen=True)
class Targets:
    """The targets of all parts of a data set, after the check of a task.

    Args:
        parts: Targets by the name of the part, such as "y_train"; empty if the images themselves are the targets.
        outputs: Number of outputs per example or per pixel.
        names: One name per output.
        mean: Mean of each output over the training part; default None, outputs are not standardised.
        deviation: Standard deviation of each output; default None.

    Example:
        >>> Targets({"y_train": np.array([[0.0], [1.0]])}, outputs=1, names=("age",)).names
        ('age',)
    """

    parts: dict[str, np.ndarray]
    outputs: int
    names: tuple[str, ...]
    mean: tuple[float, ...] | None = None
    deviation: tuple[float, ...] | None = None


@dataclasses.dataclass(frozen=True)
class Task(abc.ABC):
    """A task: what the targets of a network are, and everything that follows from it.

    A task is added by a subclass in a file of its own and an entry in `TASKS`. It imports Keras only inside methods:
    the command line reads the names of the tasks before it imports Keras.

    Example:
        >>> task = keras_pdecnn.tasks.TASKS["segmentation"]
        >>> task.monitor, task.of_pixels, task.partner
        ('mean_iou', True, 'masks')
    """

    name: ClassVar[str]
    """Name that users type."""
    label: ClassVar[str]
    """Name in running text."""
    of_pixels: ClassVar[bool] = False
    """Whether every pixel has outputs, so that the network is a U-Net."""
    has_labels: ClassVar[bool] = False
    """Whether the target of an example is one class, by which parts of a data set are stratified."""
    partner: ClassVar[str | None] = None
    """Name of the folder of the targets beside the folder `images`; None if targets are not in files of their own."""
    needs_targets: ClassVar[bool] = True
    """Whether the source must have targets; otherwise the images themselves may be them."""
    improves_input: ClassVar[bool] = False
    """Whether the outputs are a better input, so that the input itself is evaluated, too."""
    augmentation: ClassVar[tuple[str, ...]] = AUGMENTATION
    """The random changes of training examples that make sense."""
    monitor: ClassVar[str]
    """Name of the metric by which networks are compared; larger is better."""
    monitor_title: ClassVar[str]
    """Name of this metric in pictures and tables."""
    in_percent: ClassVar[bool] = False
    """Whether this metric is a fraction that is written in percent."""
    shown: ClassVar[int] = 12
    """Number of test examples whose predictions are drawn."""
    quantity: ClassVar[str]
    """Kind of the outputs: "probability" or "value"."""
    exported: ClassVar[str | None] = None
    """Kind of the outputs of an exported network, see `export.savedmodel`; None leaves it to the network."""
    defaults: ClassVar[Mapping[str, Any]] = MappingProxyType({})
    """Settings that a recipe takes when this becomes its task."""

    def check_recipe(self, recipe):
        """Raise ValueError if the settings of a recipe do not suit the task."""
        self.check_augmentation(recipe)
        if recipe.loss != "classification":
            raise ValueError(
                f"Only a classification has a choice of losses. Received: task={self.name!r}, loss={recipe.loss!r}"
            )
        if recipe.label_smoothing:
            raise ValueError(
                "Only the labels of a classification can be smoothed. "
                f"Received: task={self.name!r}, label_smoothing={recipe.label_smoothing}"
            )
        if recipe.evaluate_flipped:
            raise ValueError(
                "Only a classification is evaluated with mirrored copies. "
                f"Received: task={self.name!r}, evaluate_flipped=True"
            )
        self.check_pixels(recipe)

    def check_pixels(self, recipe):
        """Raise ValueError if a recipe has settings of networks with outputs for every pixel, and this is none."""
        for name in ("degradation", "patch"):
            if getattr(recipe, name) is not None:
                meant = "restoration" if name == "degradation" else "segmentation and restoration"
                raise ValueError(
                    f"{name} is for {meant}. Received: task={self.name!r}, {name}={getattr(recipe, name)!r}"
                )

    def check_augmentation(self, augmentation):
        """Raise ValueError if a recipe or an augmentation changes examples in a way that their targets do not allow."""
        for name in AUGMENTATION:
            if name not in self.augmentation and getattr(augmentation, name):
                raise ValueError(
                    f"The targets of a {self.label} cannot follow {name}. "
                    f"Received: task={self.name!r}, {name}={getattr(augmentation, name)!r}"
                )

    @abc.abstractmethod
    def check_targets(
        self,
        parts: dict[str, Any],
        shapes: dict[str, tuple[int, ...]],
        names: Sequence[str] | None,
        where: str,
    ) -> Targets:
        """Return the targets of all parts in the form that the training needs.

        Args:
            parts: Targets by the name of the part, the training part first: "y_train", or "y" of a source that is not
                divided into parts yet. Then they are checked once more after the division.
            shapes: Shapes of the examples of the same parts, (n, *space, channels).
            names: Names of the outputs that the source has, or None.
            where: Name or path of the data set, for error messages.

        Raises:
            ValueError: If they are no targets of this task.
        """

    def network_settings(self, recipe) -> dict[str, Any]:
        """Return the arguments of a builder that a recipe has."""
        settings = {name: getattr(recipe, name) for name in (UNET_SETTINGS if self.of_pixels else CNN_SETTINGS)}
        if recipe.optimizer == "adamw":
            settings["weight_decay"] = 0.0  # it is the optimiser's
        if recipe.orthogonal:  # builders that users have added do not need to know the argument
            settings["orthogonal"] = True
        # All data sets have the channels last, whatever Keras's configuration says.
        return {**settings, "data_format": "channels_last"}

    @abc.abstractmethod
    def build(self, network, recipe, info):
        """Return the network for a data set.

        Args:
            network: Record of the network, see `networks.Network`.
            recipe: Settings of the network.
            info: Properties of the data set, a `data.Info`.
        """

    @abc.abstractmethod
    def loss(self, recipe, info):
        """Return the loss of a training, a `keras.losses.Loss`."""

    def label_loss(self, recipe):
        """Return the loss of a task with labels for integer labels, without their smoothing."""
        raise NotImplementedError(f"{self.name} has no labels.")

    @abc.abstractmethod
    def metrics(self, recipe, info) -> list:
        """Return new metrics of Keras, that of `monitor` among them."""

    def details(self, metrics: list, info) -> dict[str, Any]:
        """Return results beside the values of the metrics, after an evaluation with them, in types that JSON has."""
        return {}

    def score(self, value: float) -> str:
        """Return the value of `monitor` as text."""
        return f"{100 * value:.2f} %" if self.in_percent else f"{value:.4f}"

    @abc.abstractmethod
    def report(self, results: dict[str, Any]) -> str:
        """Return what an evaluation has found, in words."""

    @abc.abstractmethod
    def draw(self, x, targets, outputs, results: dict[str, Any], info) -> dict[str, Any]:
        """Return pictures of an evaluation by the name of the file without its suffix.

        Args:
            x: Some examples.
            targets: Their targets.
            outputs: Their predictions.
            results: Results of the evaluation.
            info: Properties of the data set.
        """


def as_array(y, what: str) -> np.ndarray:
    """Return targets as an array of numbers; raise ValueError if they are none."""
    try:
        y = np.asarray(y)
    except (TypeError, ValueError) as error:  # lists of different lengths
        raise ValueError(f"{what} must be an array of numbers. Received: {type(y).__name__} ({error})") from error
    if y.dtype.kind not in "buif":
        raise ValueError(f"{what} must hold numbers. Received: dtype={y.dtype}")
    return y


def vectors(parts: dict[str, Any], shapes: dict[str, tuple[int, ...]], where: str, form: str) -> dict[str, np.ndarray]:
    """Return targets with one vector per example; raise ValueError for others.

    Args:
        parts: Targets by the name of the part.
        shapes: Shapes of the examples of the same parts.
        where: Name or path of the data set, for messages.
        form: Form of the targets in words, for messages.
    """
    arrays = {}
    for part, y in parts.items():
        array = as_array(y, f"{where}: {part}")
        array = array[:, np.newaxis] if array.ndim == 1 else array
        if array.ndim != 2 or len(array) != shapes[part][0] or not array.shape[1]:
            raise ValueError(
                f"{where}: {part} must have the shape {form}, with n={shapes[part][0]} examples. "
                f"Received: shape={array.shape}"
            )
        arrays[part] = array
    widths = {part: y.shape[1] for part, y in arrays.items()}
    if len(set(widths.values())) > 1:
        received = ", ".join(f"{count} in {part}" for part, count in widths.items())
        raise ValueError(f"{where}: all parts must have the same number of targets. Received: {received}")
    return arrays


def check_names(names: Sequence[str], where: str):
    """Raise ValueError unless names of classes or outputs are lines of text that differ.

    Tables, JSON and the files of exports tell classes and outputs apart by their names.

    Args:
        names: The names.
        where: Name or path of the data set, for messages.
    """
    received = f"class_names={arguments.describe(tuple(names))}"
    wrong = next((name for name in names if not arguments.is_line(name)), None)
    if wrong is not None:
        raise ValueError(
            f"{where}: the name of a class or an output must be one line of text, and not empty. "
            f"Received: {arguments.describe(wrong)} in {received}"
        )
    name, count = collections.Counter(names).most_common(1)[0]
    if count > 1:
        raise ValueError(
            f"{where}: classes and outputs must have different names. "
            f"Received: {count} times {arguments.describe(name)} in {received}"
        )


def output_names(names: Sequence[str] | None, count: int, where: str) -> tuple[str, ...]:
    """Return one name per class or output; without names their numbers.

    Args:
        names: Names that the source has, or None.
        count: Number of classes or outputs.
        where: Name or path of the data set, for messages.

    Raises:
        ValueError: If there are more or fewer names than outputs, or `check_names` refuses them.
    """
    if names is None:
        return tuple(map(str, range(count)))
    if len(names) != count:
        raise ValueError(
            f"{where}: class_names must have one name for each of the {count} outputs. "
            f"Received: class_names={arguments.describe(tuple(names))}"
        )
    check_names(names, where)
    return tuple(names)
