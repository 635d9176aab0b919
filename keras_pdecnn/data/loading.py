"""`load`: from the name of a data set to its batches."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_pdecnn.data import checks, parts, settings
from keras_pdecnn.data.augmentation import Augmentation
from keras_pdecnn.data.dataset import Data, Info
from keras_pdecnn.data.memory import check_memory
from keras_pdecnn.data.sources import read
from keras_pdecnn.data.stored import is_stored
from keras_pdecnn.tasks import DEFAULT, TASKS, check_task
from keras_pdecnn.utils import arguments, optional


def load(
    source: Any,
    batch_size: int = 128,
    *,
    validation: float = 0.1,
    augmentation: Augmentation | None = None,
    seed: int = 0,
    data_dir: str | os.PathLike | None = None,
    size: int | Sequence[int] | None = None,
    sampling_rate: int | None = None,
    skip_unreadable: bool = False,
    classes: int | None = None,
    drop_remainder: bool = False,
    crop: str | None = None,
    crop_area: float = 0.25,
    in_memory: bool | None = None,
    task: str = DEFAULT,
    mask_colors: Sequence[str] | None = None,
    degradation: str | None = None,
    patch: int | Sequence[int] | None = None,
    patches: int = 1,
) -> Data:
    """Load a labelled data set and divide it into batches of raw examples.

    A data set of up to 512 MiB is read into memory, a larger one is streamed: each batch is read when it is needed. The
    batches are the same, see `in_memory`.

    Sources:

    * `"digits"`: the 1,797 handwritten digits that come with scikit-learn, uint8 of 0..16, shape `(8, 8, 1)`;
      360 of them are the test part.
    * `"moving_digits"`: a video of each of these digits, which moves to one of four sides, the classes; uint8 of 0..16,
      shape `(16, 16, 16, 1)`. No frame tells the class. 360 are the test part, with digits that do not occur in
      training.
    * A path that ends in `.npz`: the arrays `x_train`, `y_train`, `x_test`, `y_test`, or `x` and `y`, of which a fifth,
      stratified by class, is the test part; and optionally `class_names`. x has the shape `(n, *space, channels)`.
      Labels are integers or names of shape `(n,)` or `(n, 1)`, or one-hot rows of shape `(n, classes)`; without
      `class_names` the classes are the sorted names. With an entry `layout` ("signals", "images" or "volumes") x needs
      no axis for a single channel. Without `layout`, x of shape `(n, 28, 28)` or `(n, 16, 16, 16)` is refused:
      `(n, 28, 28)` may be gray images or signals of 28 channels.
    * A folder: one sub-folder per class; a fifth of each class, by a hash of the file name, is the test part. The files
      are images (PNG, JPEG, BMP, GIF and WebP; gray if all of them are, otherwise RGB) or sounds (uncompressed .wav
      files; int16 if this loses nothing, otherwise float32; averaged to one channel if their numbers of channels
      differ); or videos (MP4, MOV, MKV, WebM, AVI and MPEG, with the extra `video`; and animated GIF and WebP files if
      `size` has a number of frames). Folders `train` and `test`, or `val`, that hold the sub-folders of the classes
      are the parts.
    * A file `labels.csv` or the folder that holds it: a table with the columns `file` and `label`, whose paths start
      from its folder. A fifth of each class, by a hash of what stands under `file`, is the test part.
    * Arrays `(x, y)`, a `tf.data.Dataset` or a `keras.utils.PyDataset` that ends: a fifth, stratified by class, is the
      test part. Or a pair (train, test) of these, such as `((x, y), (x_test, y_test))`. Datasets yield `(x, y)`, in
      batches or with scalar labels; they are read once, in their order. Forms of x and y are as in an .npz file.
    * Any other name: a data set of TensorFlow Datasets, such as `"cifar10"` or `"name/config:1.0.0"`. It is read from
      `data_dir` if it is prepared there, and downloaded otherwise. Training part is the split `train`, test part the
      split `test`, or else `validation`, or else a fifth of `train`.

    Numbers keep their type, except that float64 becomes float32 and bool becomes uint8. The test and validation parts
    depend on the data and on `validation`, never on `seed`, so that runs with different seeds can be compared.

    Args:
        source: Name or path of the data set, or arrays or datasets, see above.
        batch_size: Number of examples per batch. Default 128.
        validation: Fraction of the training part that is used for validation, stratified by class, in [0, 1). Of a
            folder with `val`, that part is used whatever the fraction, unless it is 0. Default 0.1.
        augmentation: An `Augmentation` of the training batches. Default None.
        seed: Seed of the order and the augmentation of every epoch. Default 0.
        data_dir: Folder in which TensorFlow Datasets keeps its data. Default None, its own default.
        size: Size of the examples, for folders and TensorFlow Datasets: images are resized to `(height, width)` or to a
            square, videos to `(frames, height, width)`, see `data.read_video`; signals are cropped to a length or
            padded with zeros. Needed if sizes differ. Default None, the size that the examples have.
        sampling_rate: Samples per second to which .wav files of another rate are resampled. Needed if rates differ.
            Default None, the rate that the files have.
        skip_unreadable: Whether files of images or sounds that cannot be read are left out. They are logged as a
            warning and are in `info.skipped`, and the other files stay in the part where they were. Default False, the
            first such file is an error.
        classes: Expected number of classes. Default None, as many as the data set has.
        drop_remainder: Whether a training epoch drops a smaller last batch. Validation and test are always complete.
            Default False.
        crop: The part of images of natural size that is resized to `size`, with its aspect kept. "center" is the
            largest window in the centre. "random" is a window of random area, aspect and place in training, and 7/8 of
            the largest one in the centre otherwise; such a data set is always streamed. Default None, the whole image,
            whose aspect is not kept.
        crop_area: Smallest area of a random window as a fraction of that of the image, in (0, 1]. Default 0.25.
        in_memory: Whether the examples are held in memory (True), or read from their files for each batch (False).
            Default None, in memory up to 512 MiB of examples. Datasets of tf.data, PyDatasets and compressed arrays are
            always held in memory.
        task: What the data are for, one of `tasks.TASKS`; default "classification". It says what the targets are: rows
            of 0 and 1 ("multi_label"), numbers ("regression"), classes of pixels of the shape of the examples without
            channels ("segmentation"), or images of the shape of the examples ("restoration"). For the last two a folder
            holds the folders `images` and `masks` or `targets`, with files of the same names, perhaps in `train` and
            `test`; they are held in memory.
        mask_colors: Colours of the classes in mask files, six hexadecimal digits each; default None, masks hold the
            numbers of the classes.
        degradation: How examples are made from clean images for a restoration, such as "noise:25", see
            `tasks.DEGRADATIONS`. Those of validation and test images are always the same. Any source of images will do,
            also a folder of nothing but images; other targets are left out. Default None, the source has the targets.
        patch: Size of patches of images that are cut out at random in training, a number or one per space axis, for
            segmentation and restoration. Smaller images are taken whole, once per epoch. Default None, whole images.
        patches: Number of patches of each image per epoch. Default 1.

    Returns:
        A `Data` with `train`, `validation`, `test` and `info`.

    Raises:
        ValueError: If an argument is out of range, the source does not exist, cannot be read or is to be held in memory
            and larger than `MEMORY_LIMIT`, or its arrays are not examples and labels.
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
    seed = settings.check_seed(seed)
    sampling_rate = None if sampling_rate is None else arguments.check_positive_integer("sampling_rate", sampling_rate)
    skip_unreadable = arguments.check_flag("skip_unreadable", skip_unreadable)
    in_memory = None if in_memory is None else arguments.check_flag("in_memory", in_memory)
    window = settings.check_crop(crop, crop_area, size, in_memory)
    chosen = TASKS[check_task("task", task)]
    worse = settings.check_pixels(chosen, degradation, patch, mask_colors, classes)
    if mask_colors is not None:
        mask_colors = tuple(arguments.check_color("mask_colors", color) for color in mask_colors)
    patches = arguments.check_positive_integer("patches", patches)
    if augmentation is not None:
        chosen.check_augmentation(augmentation)
    optional.tensorflow("pde.data.load")
    raw = read(
        source,
        data_dir=data_dir,
        size=settings.check_size(size),
        sampling_rate=sampling_rate,
        skip_unreadable=skip_unreadable,
        crop=window,
        in_memory=in_memory,
        task=chosen,
        mask_colors=mask_colors,
        degraded=worse is not None,
    )
    x_train = checks.check_stored(raw.x_train, f"{raw.where}: x_train")
    x_test = checks.check_stored(raw.x_test, f"{raw.where}: x_test")
    parts.check_alike(x_train, x_test, "test", raw.where)
    if augmentation is not None:
        augmentation.check_shape(x_train.shape[1:])
    in_all = [x for x in (x_train, x_test, raw.x_validation) if x is not None]
    check_memory(sum(x.nbytes for x in in_all if not is_stored(x)), raw.where)
    x_held = parts.validation_of(raw, x_train) if validation else None
    x = x_train, x_test, x_held
    targets = parts.targets_of(chosen, raw, x, classes, worse is not None)
    rows = parts.rows_of(chosen, raw.where, targets, x, validation)
    sizes = {part: len(numbers) for part, numbers in rows.items()}
    max_value = parts.white_of(chosen, raw, x_train, targets) if chosen.of_pixels else 1.0
    cut = None if patch is None else settings.check_patch(patch, x_train.shape[1:-1])
    rows["train"] = np.tile(rows["train"], 1 if cut is None else patches)
    pixels = parts.pixels_of(chosen, worse, max_value, cut)
    examples = parts.examples_of(x, targets, rows, batch_size, drop_remainder, pixels)
    if not examples["train"].steps:
        raise ValueError(
            f"`drop_remainder` leaves no batch of the {sizes['train']} training examples. "
            f"Received: drop_remainder=True, batch_size={batch_size}"
        )
    from keras_pdecnn.data.pipeline import Training

    is_random = window is not None and window.is_random
    training = Training(examples.pop("train"), seed, augmentation, targets.outputs, is_random)
    return Data(
        info=Info(
            name=raw.name,
            input_shape=x_train.shape[1:],
            classes=targets.outputs,
            class_names=targets.names,
            sizes=sizes,
            dtype=x_train.dtype.name,
            sampling_rate=raw.sampling_rate,
            skipped=raw.skipped,
            crop=crop,
            target_mean=targets.mean,
            target_deviation=targets.deviation,
            max_value=max_value,
        ),
        training=training,
        evaluation=examples,
    )
