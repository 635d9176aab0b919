"""The records of TensorFlow Datasets, read by their numbers: TFRecord files with an index, and ArrayRecord files."""

from __future__ import annotations

import os

import numpy as np

from keras_pdecnn.data import images
from keras_pdecnn.data.calls import ReadError, call
from keras_pdecnn.data.crops import Crop
from keras_pdecnn.data.opened import OpenFile, check_unchanged, stamp
from keras_pdecnn.data.sources import index
from keras_pdecnn.data.stored import Stored
from keras_pdecnn.utils import optional

WHY = "Only data sets in TFRecord or ArrayRecord files on a disk can be streamed."
_TFRECORD, _ARRAY_RECORD = "tfrecord", "array_record"
_LENGTH, _CHECKSUM = 8, 4  # bytes around the content of a TFRecord: its length and a checksum before, a checksum behind
_READ_AT_ONCE = 1024  # records
_BLOCK, _CYCLE = 16, 16  # how TensorFlow Datasets interleaves shards


class Shards:
    """Records in TFRecord files, in the order in which TensorFlow Datasets reads them.

    Args:
        paths: Paths of the files.
        stamps: Their stamps, see `opened.stamp`.
        shard: Number of the file of each record.
        start: Where the content of each record begins.
        size: Number of bytes of the content of each record.
    """

    def __init__(self, paths: list[str], stamps, shard: np.ndarray, start: np.ndarray, size: np.ndarray):
        self.paths, self.stamps = paths, stamps
        self.shard, self.start, self.size = shard, start, size

    def read(self, rows: np.ndarray) -> np.ndarray:
        """Return the contents of records, an array of bytes objects."""
        contents = np.empty(len(rows), object)
        of_rows = self.shard[rows]
        for number in np.unique(of_rows):  # one by one, as there may be more files than a process may have open
            file = OpenFile(self.paths[number])
            check_unchanged(file.path, tuple(self.stamps[number]))
            for place in np.flatnonzero(of_rows == number):
                contents[place] = file.read(int(self.start[rows[place]]), int(self.size[rows[place]]))
        return contents


class ArrayRecords:
    """Records in ArrayRecord files.

    Args:
        paths: Paths of the files.
        stamps: Their stamps, see `opened.stamp`.
    """

    def __init__(self, paths: list[str], stamps):
        self.stamps = dict(zip(paths, map(tuple, stamps), strict=True))
        module = optional.load("array_record.python.array_record_data_source", "An ArrayRecord file", "array-record")
        self.source = module.ArrayRecordDataSource(paths)

    def read(self, rows: np.ndarray) -> np.ndarray:
        """Return the contents of records, an array of bytes objects."""
        for path, expected in self.stamps.items():
            check_unchanged(path, expected)
        try:
            return np.array(self.source.__getitems__(rows.tolist()), object)
        except Exception as error:  # its own types
            raise ReadError(f"Not a readable ArrayRecord file ({error}). Received: {self.source!r}") from error


class RecordExamples(Stored):
    """Examples in records of TensorFlow Datasets.

    Args:
        records: Where the records are, `Shards` or `ArrayRecords`.
        count: Number of records.
        shape: `(*space, channels)` of an example.
        dtype: Type of the examples.
        decode: Function of a tensor of records, and of the random numbers that choose windows or None, to examples.
    """

    def __init__(self, records: Shards | ArrayRecords, count: int, shape: tuple[int, ...], dtype, decode):
        super().__init__(count, shape, dtype)
        self.records, self.decode = records, decode

    def batch(self, rows, window=None):
        import tensorflow as tf

        contents = call(self.records.read, [rows], tf.string)
        contents = tf.ensure_shape(contents, rows.shape)
        return tf.ensure_shape(self.decode(contents, window), (rows.shape[0], *self.shape[1:]))


def can_read(builder) -> bool:
    """Return whether the records of a data set of TensorFlow Datasets can be read by their numbers."""
    path = os.fspath(builder.data_dir)
    return builder.info.file_format.value in (_TFRECORD, _ARRAY_RECORD) and os.path.isdir(path)


def in_tfrecords(builder) -> bool:
    """Return whether a data set is in TFRecord files, which tf.data reads as well."""
    return builder.info.file_format.value == _TFRECORD


def read_split(builder, split: str, size: tuple[int, ...] | None, crop: Crop | None) -> tuple[Stored, np.ndarray]:
    """Return the examples of a split, which are read when they are needed, and its labels.

    The records are read once for that, and what is found is kept beside them.

    Args:
        builder: The builder of TensorFlow Datasets.
        split: Name of the split.
        size: Size of the examples; None stands for their own.
        crop: Window of the images that is read; None stands for the whole image.
    """
    import tensorflow_datasets as tfds

    where = f"{builder.info.full_name}, split {split!r}"
    example_key, _ = builder.info.supervised_keys
    check_numbers([builder.info.features[key].get_tensor_spec() for key in builder.info.supervised_keys], where)
    if crop is not None and (size is None or not isinstance(builder.info.features[example_key], tfds.features.Image)):
        raise ValueError(
            f"`crop` is for images, and needs their `size`. Received: {where}, size={size}, crop={crop.kind!r}"
        )
    paths = [os.fspath(path) for path in builder.info.splits[split].filepaths]
    labels, records = _open(builder, split, paths, where)
    if crop is not None:
        shape, dtype, decode = _cropped(builder, size, crop, where)
    else:
        shape, dtype, decode = _whole(builder, size, where, first=records.read(np.zeros(1, np.int64))[0])
    return RecordExamples(records, len(labels), shape, dtype, decode), labels


def check_numbers(specs, where: str):
    """Raise ValueError if examples or labels are not arrays of numbers, by their specs."""
    import tensorflow as tf

    for spec in tf.nest.flatten(specs):
        if not isinstance(spec, tf.TensorSpec) or spec.shape.rank is None or spec.dtype == tf.string:
            raise ValueError(f"Examples and labels must be arrays of numbers. Received: {where} with {spec}")


def _open(builder, split: str, paths: list[str], where: str) -> tuple[np.ndarray, Shards | ArrayRecords]:
    """Return the labels of all records in their order, and the records."""
    folder = os.fspath(builder.data_dir)
    stamps = np.array([stamp(path) for path in paths], np.int64)
    names = np.array([os.path.basename(path) for path in paths])
    kept = index.read_arrays(folder, split)
    if not (kept and np.array_equal(kept["names"], names) and np.array_equal(kept["stamps"], stamps)):
        scan = _scan_shards if in_tfrecords(builder) else _scan_array_records
        kept = {"names": names, "stamps": stamps, **scan(builder, paths, stamps, where)}
        index.write_arrays(folder, split, **kept)
    if not in_tfrecords(builder):
        return kept["labels"], ArrayRecords(paths, stamps.tolist())
    order = _interleaved(kept["counts"], 1 if builder.info.disable_shuffling else _CYCLE)
    shard = np.repeat(np.arange(len(paths)), kept["counts"])[order]
    return kept["labels"][order], Shards(paths, stamps.tolist(), shard, kept["start"][order], kept["size"][order])


def _scan_shards(builder, paths: list[str], stamps: np.ndarray, where: str) -> dict[str, np.ndarray]:
    """Return the number of records of each shard, where each record is, and its label; all checksums are verified."""
    import tensorflow as tf

    labels_of = _label_reader(builder)
    counts, sizes, starts, labels = [], [], [], []
    for path in paths:
        size: list = []
        try:
            for content in tf.data.TFRecordDataset(path).batch(_READ_AT_ONCE):
                size.append(tf.strings.length(content).numpy())
                labels.append(labels_of(content).numpy())
        except tf.errors.OpError as error:
            raise ValueError(f"Not a readable TFRecord file ({_first_line(error)}). Received: {path!r}") from error
        of_shard = np.concatenate(size or [np.zeros(0, np.int64)]).astype(np.int64)
        framed = of_shard + _LENGTH + 2 * _CHECKSUM
        if framed.sum() != os.path.getsize(path):
            raise ValueError(
                f"Not a readable TFRecord file ({framed.sum():,} bytes of records in {os.path.getsize(path):,}). "
                f"Received: {path!r}"
            )
        counts.append(len(of_shard))
        sizes.append(of_shard)
        starts.append(np.cumsum(framed) - framed + _LENGTH + _CHECKSUM)
    declared = sum(split.num_examples for split in builder.info.splits.values() if _files_of(split) == set(paths))
    if declared and declared != sum(counts):
        raise ValueError(f"The files must hold {declared:,} examples. Received: {where} with {sum(counts):,}")
    return {
        "counts": np.array(counts),
        "size": np.concatenate(sizes),
        "start": np.concatenate(starts),
        "labels": np.concatenate(labels),
    }


def _files_of(split) -> set[str]:
    return {os.fspath(path) for path in split.filepaths}


def _scan_array_records(builder, paths: list[str], stamps: np.ndarray, where: str) -> dict[str, np.ndarray]:
    """Return the labels of all records."""
    records, labels_of = ArrayRecords(paths, stamps.tolist()), _label_reader(builder)
    starts = range(0, len(records.source), _READ_AT_ONCE)
    rows = [np.arange(first, min(first + _READ_AT_ONCE, len(records.source))) for first in starts]
    return {"labels": np.concatenate([labels_of(records.read(part).tolist()).numpy() for part in rows])}


def _label_reader(builder):
    """Return a function from records to their labels, which decodes nothing else."""
    import tensorflow as tf
    import tensorflow_datasets as tfds

    key = builder.info.supervised_keys[1]
    features = tfds.decode.PartialDecoding({key: True}).extract_features(builder.info.features)
    spec = features[key].get_tensor_spec()

    @tf.function(input_signature=[tf.TensorSpec((None,), tf.string)])
    def labels_of(contents):
        return tf.map_fn(lambda content: features.deserialize_example(content)[key], contents, fn_output_signature=spec)

    return labels_of


def _whole(builder, size, where: str, first: bytes):
    """Return the shape and type of examples that are decoded as TensorFlow Datasets does, and the decoder."""
    import tensorflow as tf

    features, key = builder.info.features, builder.info.supervised_keys[0]
    adapt = fit(features[key].get_tensor_spec().shape, size, where) if size is not None else lambda x: x

    def decode_one(content):
        x = adapt(features.deserialize_example(content)[key])
        return x[:, tf.newaxis] if x.shape.rank == 1 else x

    example = decode_one(first)
    shape, dtype = tuple(example.shape), example.dtype

    def decode_checked(content):
        x = decode_one(content)
        message = (
            f"ReadError: The examples of {where} differ in size; give `size` to make them equal. Received: {shape} in "
            f"the first example and another shape, size={size}"
        )
        with tf.control_dependencies([tf.debugging.assert_equal(tf.shape(x), shape, message)]):
            return tf.ensure_shape(tf.identity(x), shape)

    def decode(contents, window):
        return tf.map_fn(decode_checked, contents, fn_output_signature=tf.TensorSpec(shape, dtype))

    return shape, dtype.as_numpy_dtype, decode


def _cropped(builder, size, crop: Crop, where: str):
    """Return the shape and type of images of which a window is decoded, and the decoder."""
    import tensorflow as tf
    import tensorflow_datasets as tfds

    features, key = builder.info.features, builder.info.supervised_keys[0]
    shape = (size[0], size[-1], features[key].get_tensor_spec().shape[-1])
    skip = {key: tfds.decode.SkipDecoding()}

    def read_windows(contents, draws=None):
        x = np.empty((len(contents), *shape), np.uint8)
        for place, content in enumerate(contents):
            try:
                x[place] = images.decode_image(content, shape, crop, None if draws is None else draws[place])
            except Exception as error:  # Pillow's readers raise a dozen types on damaged images
                raise ReadError(f"Not a readable image ({error}). Received: {where}") from error
        return x

    def decode(contents, window):
        encoded = tf.map_fn(
            lambda content: features.deserialize_example(content, decoders=skip)[key],
            contents,
            fn_output_signature=tf.TensorSpec((), tf.string),
        )
        inputs = [encoded] if window is None else [encoded, window]
        return call(read_windows, inputs, tf.uint8)

    return shape, np.uint8, decode


def _interleaved(counts: np.ndarray, cycle: int) -> np.ndarray:
    """Return the numbers of the records, counted over all shards, in the order of TensorFlow Datasets."""
    import tensorflow as tf

    ends = np.cumsum(counts)
    shards = tf.data.Dataset.from_tensor_slices((ends - counts, ends))
    rows = shards.interleave(tf.data.Dataset.range, cycle_length=cycle, block_length=_BLOCK)
    return np.concatenate(list(rows.batch(2**16).as_numpy_iterator()))


def _first_line(error) -> str:
    return str(error.message).strip().partition("\n")[0]


def fit(shape, size, where):
    """Return the function that brings an example of this static shape to `size`."""
    if shape.rank == 3:
        return lambda image: _resize(image, (size[0], size[-1]))
    if shape.rank in (1, 2) and len(size) == 1:
        return lambda signal: _cut(signal, size[0])
    raise ValueError(
        "`size` must be a length for signals, a side or (height, width) for images. "
        f"Received: size={size}, {where} with examples of shape {shape}"
    )


def _resize(image, size):
    import tensorflow as tf

    resized = tf.image.resize(image, size, antialias=True)
    return tf.saturate_cast(tf.round(resized) if image.dtype.is_integer else resized, image.dtype)


def _cut(signal, length):
    import tensorflow as tf

    signal = signal[:length]
    missing = length - tf.shape(signal)[0]
    padded = tf.pad(signal, [(0, missing), *[(0, 0)] * (signal.shape.rank - 1)])
    return tf.ensure_shape(padded, (length, *signal.shape[1:]))
