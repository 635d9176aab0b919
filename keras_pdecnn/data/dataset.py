"""A data set that is ready for `model.fit`."""

from __future__ import annotations

import dataclasses
import functools
from typing import TYPE_CHECKING

from keras_pdecnn.utils import arguments

if TYPE_CHECKING:
    import tensorflow as tf

    from keras_pdecnn.data.pipeline import Examples, Training


@dataclasses.dataclass(frozen=True)
class Info:
    """The properties of a data set.

    Args:
        name: Name of the data set.
        input_shape: `(*space, channels)`, the shape of an example.
        classes: Number of classes, or of other outputs: of labels, of numbers of a regression, of channels of images.
        class_names: One name per class or other output.
        sizes: Numbers of examples, a dict with the keys `train`, `validation` and `test`.
        dtype: Type of the raw examples, such as `"uint8"`.
        sampling_rate: Samples per second of sounds read from .wav files. Default None, for other examples.
        skipped: Files that could not be read and are left out, see `load`. Default none.
        crop: Part of the images that is seen, see `load`. Default None, whole images or other examples.
        target_mean: Mean of each number of a regression over the training part. Default None, other tasks.
        target_deviation: Standard deviation of each number of a regression. Default None, other tasks.
        max_value: Value of white, see `parts.white_of`; default 1.

    Example:
        >>> keras_pdecnn.data.load("digits").info.input_shape
        (8, 8, 1)
    """

    name: str
    input_shape: tuple[int, ...]
    classes: int
    class_names: tuple[str, ...]
    sizes: dict[str, int]
    dtype: str
    sampling_rate: int | None = None
    skipped: tuple[str, ...] = ()
    crop: str | None = None
    target_mean: tuple[float, ...] | None = None
    target_deviation: tuple[float, ...] | None = None
    max_value: float = 1.0


@dataclasses.dataclass(frozen=True)
class Data:
    """A data set in batches `(x, label)`: raw x of shape `(batch, *space, channels)`, int32 labels of shape `(batch,)`.

    Other tasks have other targets in place of labels: float32 of shape `(batch, outputs)` for a regression and for
    several labels, classes of shape `(batch, *space)` for a segmentation, and images for a restoration.

    The datasets are made when they are asked for.

    Args:
        info: Properties of the data set.
        training: Plan of the epochs, which `train` and `epochs` follow.
        evaluation: Plans of `validation`, if it is there, and `test`, by name.

    Example:
        >>> x, label = next(iter(keras_pdecnn.data.load("digits", batch_size=32).train))
        >>> x.shape
        TensorShape([32, 8, 8, 1])
    """

    info: Info
    training: Training = dataclasses.field(repr=False)
    evaluation: dict[str, Examples] = dataclasses.field(repr=False)

    @functools.cached_property
    def train(self) -> tf.data.Dataset:
        """Training batches.

        The k-th pass over this dataset is epoch k, with its own order and augmentation, the same at each start of the
        program. Use `epochs` for a run that may be interrupted and resumed.
        """
        return self.training.one_by_one()

    @functools.cached_property
    def validation(self) -> tf.data.Dataset | None:
        """Validation batches in a fixed order, not augmented; None if there is no validation part."""
        return self.evaluation["validation"].in_order() if "validation" in self.evaluation else None

    @functools.cached_property
    def test(self) -> tf.data.Dataset:
        """Test batches in a fixed order, not augmented."""
        return self.evaluation["test"].in_order()

    @property
    def steps_per_epoch(self) -> int:
        """Number of batches of a training epoch."""
        return self.training.examples.steps

    def with_batch_size(self, batch_size: int) -> Data:
        """Return the same data in training batches of another size, without copying the examples.

        The batches of `validation` and `test` do not change.

        Args:
            batch_size: Number of examples per training batch.

        Raises:
            ValueError: If `batch_size` is not a positive integer.
        """
        batch_size = arguments.check_positive_integer("batch_size", batch_size)
        examples = dataclasses.replace(self.training.examples, batch_size=batch_size)
        return dataclasses.replace(self, training=dataclasses.replace(self.training, examples=examples))

    def at_resolution(self, factor: float) -> Data:
        """Return the same data with smaller examples, whose pixels are averages of 1 / factor pixels on each axis.

        Examples are averaged before they are augmented. Integers are rounded.

        Args:
            factor: Size of the new examples as a multiple of the old one, 1, 1/2, 1/3, …

        Raises:
            ValueError: If the examples have no such size, or the factor is no such number.

        Example:
            >>> keras_pdecnn.data.load("digits").at_resolution(1 / 2).info.input_shape
            (4, 4, 1)
        """
        count = round(1 / arguments.check_positive("factor", factor))
        if not count or 1 / count != factor:
            raise ValueError(f"factor must be 1, 1/2, 1/3, … Received: factor={arguments.describe(factor)}")
        if count == 1:
            return self
        training = dataclasses.replace(self.training, examples=_averaged(self.training.examples, count))
        evaluation = {name: _averaged(examples, count) for name, examples in self.evaluation.items()}
        return dataclasses.replace(
            self,
            info=dataclasses.replace(self.info, input_shape=training.examples.x.shape[1:]),
            training=training,
            evaluation=evaluation,
        )

    def epochs(self, first: int = 0) -> tf.data.Dataset:
        """Return an endless training dataset that starts with epoch `first`.

        Batch b of epoch e depends on (seed, e, b) alone. Therefore `epochs(3)` continues bit for bit where three epochs
        of `epochs()` ended: `model.fit(data.epochs(3), steps_per_epoch=data.steps_per_epoch, initial_epoch=3, ...)`.

        Args:
            first: Number of the first epoch, counted from 0. Default 0.

        Returns:
            A `tf.data.Dataset` of infinite cardinality.

        Raises:
            ValueError: If `first` is not an integer, or is negative.
        """
        return self.training.endless(arguments.check_non_negative_integer("first", first))


def _averaged(examples: Examples, count: int) -> Examples:
    """Return the same examples with averages of `count` pixels on each axis."""
    from keras_pdecnn.data.averaged import Averaged

    return dataclasses.replace(examples, x=Averaged(examples.x, count))
