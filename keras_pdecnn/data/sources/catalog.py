"""TensorFlow Datasets."""

import difflib

import numpy as np

from keras_pdecnn.data.crops import Crop
from keras_pdecnn.data.memory import check_memory, is_held, refuse_streaming
from keras_pdecnn.data.sources import records
from keras_pdecnn.data.sources.raw import Raw
from keras_pdecnn.data.splits import stratified_split
from keras_pdecnn.utils import optional

ACCEPTED = (
    '`source` must be "digits" or "moving_digits", the path of an .npz file, of a folder with one sub-folder of '
    "images, .wav files or videos per class, or of a labels.csv, the name of a TensorFlow data set, or arrays or "
    "datasets."
)
_TEST = 0.2
_MASKS = ("segmentation_mask", "mask", "segmentation_label")


def read(
    name, data_dir=None, size=None, crop: Crop | None = None, in_memory: bool | None = None, has_labels: bool = True
) -> Raw:
    """Return the splits `train` and `test` (or `validation`, or a fifth of `train`) of a TensorFlow data set."""
    builder = _builder(name, data_dir)
    if not builder.is_prepared():
        _prepare(builder, name)
    keys = builder.info.supervised_keys
    if not keys or len(keys) != 2 or not all(isinstance(key, str) for key in keys):
        raise ValueError(f"The data set must have supervised keys (example, label). Received: {name!r} with {keys}")
    splits = [split for split in ("train", "test", "validation") if _count(builder, split)]
    if "train" not in splits:
        raise ValueError(
            f"The data set must have a split 'train'. Received: {name!r} with {', '.join(builder.info.splits)}"
        )
    splits = splits[:2]
    names = getattr(builder.info.features[keys[1]], "names", None)
    class_names = None if names is None else tuple(names)
    read_split = _choose_reader(builder, splits, size, crop, in_memory)
    x, y = read_split("train")
    if len(splits) > 1:
        x_test, y_test = read_split(splits[1])
    else:
        labels = np.ravel(y) if has_labels else np.zeros(len(y), np.int64)
        train, test = stratified_split(labels, round(_TEST * len(y)), name)
        x, y, x_test, y_test = x[train], y[train], x[test], y[test]
    return Raw(name, name, x, y, x_test, y_test, class_names, crop=crop)


def read_masks(name, data_dir=None, size=None, in_memory: bool | None = None) -> Raw:
    """Return the splits of a TensorFlow data set with a mask for each image, as `read` does; all is held in memory.

    The mask is the second of the supervised keys if it is an image, or else the feature `segmentation_mask`, `mask` or
    `segmentation_label`.
    """
    import tensorflow_datasets as tfds

    builder = _builder(name, data_dir)
    refuse_streaming(in_memory, f"source={name!r}", "Images with masks are held in memory.")
    if not builder.is_prepared():
        _prepare(builder, name)
    features = dict(builder.info.features.items())
    keys = [*(builder.info.supervised_keys or ()), *_MASKS]
    images = [key for key in keys if isinstance(features.get(key), tfds.features.Image) and key not in _MASKS]
    masks = [key for key in keys[1:] if isinstance(features.get(key), tfds.features.Image) and key not in images[:1]]
    if not images or not masks:
        raise ValueError(
            f"The data set must have an image and a mask, one of {', '.join(_MASKS)}. "
            f"Received: {name!r} with {', '.join(features)}"
        )
    splits = [split for split in ("train", "test", "validation") if _count(builder, split)][:2]
    if "train" not in splits:
        raise ValueError(
            f"The data set must have a split 'train'. Received: {name!r} with {', '.join(builder.info.splits)}"
        )
    read_parts = [_read_pairs(builder, split, images[0], masks[0], size) for split in splits]
    x, y = read_parts[0]
    if len(splits) > 1:
        return Raw(name, name, x, y, *read_parts[1])
    train, test = stratified_split(np.zeros(len(y), np.int64), round(_TEST * len(y)), name)
    return Raw(name, name, x[train], y[train], x[test], y[test])


def _read_pairs(builder, split: str, image: str, mask: str, size) -> tuple[np.ndarray, np.ndarray]:
    """Return the images and the masks of a split."""
    import tensorflow as tf
    import tensorflow_datasets as tfds

    where = f"{builder.info.full_name}, split {split!r}"
    pairs: list[tuple[np.ndarray, np.ndarray]] = []
    for example in tfds.as_numpy(builder.as_dataset(split=split, shuffle_files=False)):
        x, y = example[image], example[mask]
        if x.shape[:2] != y.shape[:2]:
            raise ValueError(
                f"An image and its mask must have the same size. Received: {where}, example {len(pairs)} with "
                f"{x.shape[:2]} and {y.shape[:2]}"
            )
        if size is not None:
            space = size[0], size[-1]
            resized = tf.image.resize(x, space, antialias=True).numpy()
            x = np.clip(np.round(resized), 0, np.iinfo(x.dtype).max).astype(x.dtype)
            y = tf.image.resize(y, space, method="nearest").numpy()
        if pairs and x.shape != pairs[0][0].shape:
            raise ValueError(
                f"The examples of {where} differ in size; give `size` to make them equal. Received: "
                f"{pairs[0][0].shape} in example 0 and {x.shape} in example {len(pairs)}, size=None"
            )
        if not pairs:
            check_memory(2 * _count(builder, split) * x.nbytes, where)
        pairs.append((x, y))
    return tuple(np.stack(part) for part in zip(*pairs, strict=True))  # type: ignore[return-value]


def _choose_reader(builder, splits: list[str], size, crop: Crop | None, in_memory: bool | None):
    """Return the function that reads a split: into memory, or a record at a time when it is needed."""
    where = builder.info.full_name
    if not records.can_read(builder):
        if crop is not None:
            raise ValueError(f"{records.WHY} Received: {where}, crop={crop.kind!r}")
        refuse_streaming(in_memory, where, records.WHY)
        return lambda split: _read_split(builder, split, size)
    if crop is None and records.in_tfrecords(builder):
        count = sum(_count(builder, split) for split in splits)
        if in_memory or (in_memory is None and is_held(count * _example_bytes(builder, size), where, None)):
            return lambda split: _read_split(builder, split, size)
    stored = {split: records.read_split(builder, split, size, crop) for split in splits}
    needed = sum(x.nbytes for x, _ in stored.values())
    if (crop is not None and crop.is_random) or not is_held(needed, where, in_memory):
        return lambda split: stored[split]
    return lambda split: (stored[split][0].to_array(), stored[split][1])


def _example_bytes(builder, size) -> int:
    """Return the number of bytes of an example, by the first one."""
    x, _ = next(iter(_dataset(builder, "train", size)))
    return len(x.numpy().tobytes())


def check_name(name, data_dir=None):
    """Raise ValueError if there is no TensorFlow data set of this name, neither known nor prepared in `data_dir`."""
    tfds = _import(name)
    if _base_name(name) not in tfds.list_builders(with_community_datasets=False):
        _builder(name, data_dir)


def _import(name):
    return optional.load("tensorflow_datasets", f"The TensorFlow data set {name!r}", "tensorflow-datasets")


def _base_name(name):
    """Return the name without configuration and version, "name/config:1.0.0"."""
    return name.split("/")[0].split(":")[0]


def _builder(name, data_dir):
    tfds = _import(name)
    try:
        return tfds.builder(name, data_dir=data_dir)
    except tfds.core.registered.DatasetNotFoundError as error:
        known = tfds.list_builders(with_community_datasets=False)
        close = difflib.get_close_matches(_base_name(name), known, n=3)
        hint = f" Similar names: {', '.join(close)}." if close else ""
        raise ValueError(
            f"Neither a path nor a TensorFlow data set of this name exists. {ACCEPTED}{hint} Received: source={name!r}"
        ) from error
    except Exception as error:  # a malformed name, an unknown configuration or version
        reason = str(error).strip().partition("\n")[0]
        raise ValueError(
            f"The path does not exist. {ACCEPTED} TensorFlow Datasets says: {reason} Received: source={name!r}"
        ) from error


def _prepare(builder, name):
    import tensorflow_datasets as tfds

    try:
        builder.download_and_prepare(download_config=tfds.download.DownloadConfig(try_download_gcs=False))
    except Exception as error:  # of the network, of the disk, of files to be fetched by hand
        raise ValueError(
            f"The data set is not prepared in data_dir and could not be downloaded ({error}). "
            f"Received: source={name!r}, data_dir={str(builder.data_dir)!r}"
        ) from error


def _count(builder, split):
    return builder.info.splits[split].num_examples if split in builder.info.splits else 0


def _dataset(builder, split, size):
    """Return the dataset of the examples and labels of a split, in the order of its files."""
    import tensorflow as tf

    where = f"{builder.info.full_name}, split {split!r}"
    dataset = builder.as_dataset(split=split, as_supervised=True, shuffle_files=False)
    records.check_numbers(dataset.element_spec, where)
    if size is not None:
        fit = records.fit(dataset.element_spec[0].shape, size, where)
        dataset = dataset.map(lambda x, y: (fit(x), y), num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    return dataset


def _read_split(builder, split, size):
    """Return the examples and labels of a split, in the order of its files."""
    import tensorflow_datasets as tfds

    where = f"{builder.info.full_name}, split {split!r}"
    dataset = _dataset(builder, split, size)
    count, x_all, y_all = _count(builder, split), None, []
    for index, (x, y) in enumerate(tfds.as_numpy(dataset)):
        if x.ndim == 1:  # a signal of one channel
            x = x[:, np.newaxis]  # noqa: PLW2901
        if x_all is None:
            check_memory(count * x.nbytes, where)
            x_all = np.empty((count, *x.shape), x.dtype)
        if x.shape != x_all.shape[1:]:
            raise ValueError(
                f"The examples of {where} differ in size; give `size` to make them equal. Received: "
                f"{x_all.shape[1:]} in example 0 and {x.shape} in example {index}, size=None"
            )
        x_all[index] = x
        y_all.append(y)
    return x_all, np.array(y_all)
