"""`load`: from the name of a data set to its batches."""

from __future__ import annotations

import operator
import os
from collections.abc import Sequence

import numpy as np

from keras_pdecnn.data import checks
from keras_pdecnn.data.augmentation import Augmentation
from keras_pdecnn.data.dataset import Data, Info
from keras_pdecnn.data.memory import check_memory
from keras_pdecnn.data.sources import read
from keras_pdecnn.data.splits import stratified_split
from keras_pdecnn.utils import arguments, optional


def load(
    source: str | os.PathLike,
    batch_size: int = 128,
    *,
    validation: float = 0.1,
    augmentation: Augmentation | None = None,
    seed: int = 0,
    data_dir: str | os.PathLike | None = None,
    size: int | Sequence[int] | None = None,
    classes: int | None = None,
    drop_remainder: bool = False,
) -> Data:
    """Load a labelled data set into memory, and divide it into batches of raw examples.

    Sources:

    * `"digits"`: the 1,797 handwritten digits that come with scikit-learn, uint8 of 0..16, shape `(8, 8, 1)`;
      360 of them are the test part.
    * A path that ends in `.npz`: the arrays `x_train`, `y_train`, `x_test`, `y_test`, and optionally `class_names`;
      x of shape `(n, *space, channels)`, integer labels of shape `(n,)` or `(n, 1)`. With an entry `layout` ("signals",
      "images" or "volumes") x needs no axis for a single channel. Without `layout`, x of shape `(n, 28, 28)` or
      `(n, 16, 16, 16)` is refused: `(n, 28, 28)` may be gray images or signals of 28 channels.
    * A folder: one sub-folder of images per class; a fifth of each class, by a hash of the file name, is the
      test part. PNG, JPEG, BMP, GIF and WebP files; gray if all of them are, otherwise RGB.
    * Any other name: a data set of TensorFlow Datasets, such as `"cifar10"` or `"name/config:1.0.0"`. It is read from
      `data_dir` if it is prepared there, and downloaded otherwise. Training part is the split `train`, test part the
      split `test`, or else `validation`, or else a fifth of `train`.

    Numbers keep their type, except that float64 becomes float32 and bool becomes uint8. The test and validation parts
    depend on the data and on `validation`, never on `seed`, so that runs with different seeds can be compared.

    Args:
        source: Name or path of the data set, see above.
        batch_size: Number of examples per batch. Default 128.
        validation: Fraction of the training part that is used for validation, stratified by class, in [0, 1).
            Default 0.1.
        augmentation: An `Augmentation` of the training batches. Default None.
        seed: Seed of the order and the augmentation of every epoch. Default 0.
        data_dir: Folder in which TensorFlow Datasets keeps its data. Default None, its own default.
        size: Size of the examples, for folders and TensorFlow Datasets: images are resized to `(height, width)` or to a
            square, signals are cropped to a length or padded with zeros. Needed if sizes differ. Default None, the
            size that the examples have.
        classes: Expected number of classes. Default None, as many as the data set has.
        drop_remainder: Whether a training epoch drops a smaller last batch. Validation and test are always complete.
            Default False.

    Returns:
        A `Data` with `train`, `validation`, `test` and `info`.

    Raises:
        ValueError: If an argument is out of range, the source does not exist, cannot be read or is larger than
            `MEMORY_LIMIT`, or its arrays are not examples and labels.
        ImportError: If TensorFlow, whose tf.data makes the batches under every backend, is not installed.

    Example:
        >>> load("digits", validation=0.1).info.sizes
        {'train': 1293, 'validation': 144, 'test': 360}
    """
    batch_size = arguments.check_positive_integer("batch_size", batch_size)
    classes = None if classes is None else arguments.check_positive_integer("classes", classes)
    validation = arguments.check_fraction("validation", validation)
    drop_remainder = arguments.check_flag("drop_remainder", drop_remainder)
    if not (augmentation is None or isinstance(augmentation, Augmentation)):
        raise ValueError(
            f"`augmentation` must be None or an Augmentation. Received: augmentation={arguments.describe(augmentation)}"
        )
    seed = _check_seed(seed)
    optional.tensorflow("pde.data.load")
    from keras_pdecnn.data.pipeline import Examples, Training, in_host_memory

    raw = read(source, data_dir=data_dir, size=_check_size(size))
    x_train = checks.check_examples(raw.x_train, f"{raw.where}: x_train")
    x_test = checks.check_examples(raw.x_test, f"{raw.where}: x_test")
    if x_train.shape[1:] != x_test.shape[1:] or x_train.dtype != x_test.dtype:
        raise ValueError(
            f"{raw.where}: training and test examples must have one shape and type. Received: "
            f"{x_train.shape[1:]} {x_train.dtype} and {x_test.shape[1:]} {x_test.dtype}"
        )
    if augmentation is not None:
        augmentation.check_shape(x_train.shape[1:])
    check_memory(x_train.nbytes + x_test.nbytes, raw.where)
    y_train = checks.check_labels(raw.y_train, len(x_train), f"{raw.where}: y_train")
    y_test = checks.check_labels(raw.y_test, len(x_test), f"{raw.where}: y_test")
    names = raw.class_names
    if names is not None and classes not in (None, len(names)):
        raise ValueError(f"{raw.where} has {len(names)} classes. Received: classes={classes}")
    classes = checks.check_classes(y_train, y_test, classes if names is None else len(names), raw.where)

    train_rows, validation_rows = np.arange(len(x_train)), np.arange(0)
    if validation:
        train_rows, validation_rows = stratified_split(
            y_train, round(validation * len(y_train)), f"{raw.where}, validation={validation}"
        )
    x, y, x_last, y_last = in_host_memory(x_train, y_train, x_test, y_test)
    parts = train_rows, validation_rows, np.arange(len(x_test))
    rows = in_host_memory(*(np.asarray(part, np.int64) for part in parts))
    examples = Examples(x, y, rows[0], batch_size, drop_remainder)
    if not examples.steps:
        raise ValueError(
            f"`drop_remainder` leaves no batch of the {len(train_rows)} training examples. "
            f"Received: drop_remainder=True, batch_size={batch_size}"
        )
    training = Training(examples, seed, augmentation, classes)
    return Data(
        train=training.one_by_one(),
        validation=Examples(x, y, rows[1], batch_size).in_order() if validation else None,
        test=Examples(x_last, y_last, rows[2], batch_size).in_order(),
        info=Info(
            name=raw.name,
            input_shape=x_train.shape[1:],
            classes=classes,
            class_names=tuple(names) if names is not None else tuple(str(label) for label in range(classes)),
            sizes={"train": len(train_rows), "validation": len(validation_rows), "test": len(x_test)},
            dtype=x_train.dtype.name,
        ),
        training=training,
    )


def _check_seed(seed) -> int:
    try:
        number = operator.index(seed)
    except TypeError:
        number = None
    if number is None or not -(2**63) <= number < 2**63:
        raise ValueError(f"`seed` must be an integer of at most 64 bits. Received: seed={arguments.describe(seed)}")
    return number


def _check_size(size) -> tuple[int, ...] | None:
    if size is None:
        return None
    sizes = tuple(size) if isinstance(size, (tuple, list)) else (size,)
    try:
        sizes = tuple(arguments.check_positive_integer("size", number) for number in sizes)
    except ValueError:
        sizes = ()
    if not 1 <= len(sizes) <= 2:
        raise ValueError(
            f"`size` must be a positive integer or (height, width). Received: size={arguments.describe(size)}"
        )
    return sizes
