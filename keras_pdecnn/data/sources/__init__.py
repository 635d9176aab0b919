"""Sources of data sets: each module reads one kind of source into arrays."""

import os

from keras_pdecnn.data.crops import Crop
from keras_pdecnn.data.sources import arrays, catalog, digits, folder, listing, moving_digits, npz, pairs, table
from keras_pdecnn.data.sources.listing import Listing
from keras_pdecnn.data.sources.raw import Raw
from keras_pdecnn.tasks import DEFAULT, TASKS, Task
from keras_pdecnn.utils import arguments, files

__all__ = ["Raw", "absolute", "check_source", "read"]

_BUNDLED = {"digits": digits.read, "moving_digits": moving_digits.read}


def read(
    source,
    *,
    data_dir: str | os.PathLike | None = None,
    size: tuple[int, ...] | None = None,
    sampling_rate: int | None = None,
    skip_unreadable: bool = False,
    crop: Crop | None = None,
    in_memory: bool | None = None,
    task: Task = TASKS[DEFAULT],
    mask_colors: tuple[str, ...] | None = None,
    degraded: bool = False,
) -> Raw:
    """Return the arrays of a source, which are not checked yet.

    Args:
        source: `"digits"` or `"moving_digits"`, the path of an .npz file, of a folder or of a table of labels, the name
            of a TensorFlow data set, or arrays or datasets, see `arrays.read`.
        data_dir: Folder in which TensorFlow Datasets keeps its data; default None, its own default.
        size: A tuple of one to three sizes; default None, the sizes of the examples themselves.
        sampling_rate: Samples per second of sounds; default None, that of the files.
        skip_unreadable: Whether to leave out files that cannot be read; default False.
        crop: Window of images that is resized to `size`; default None, the whole image.
        in_memory: Whether the examples are held in memory; default None, up to `memory.STREAMING_LIMIT`.
        task: What the data are for, which decides what the targets are; default a classification.
        mask_colors: Colours of the classes in masks; default None, masks hold the numbers of the classes.
        degraded: Whether the images are targets themselves, so that other targets are not needed; default False.

    Returns:
        A `Raw`.

    Raises:
        ValueError: If the source does not exist or cannot be read.
    """
    is_text = isinstance(source, (str, os.PathLike))
    if not is_text and arrays.is_arrays(source):
        _refuse(source, crop=crop, size=size, sampling_rate=sampling_rate)
        return arrays.read(source, in_memory, None if degraded else task)
    if not (is_text and os.fspath(source)):
        raise ValueError(f"{catalog.ACCEPTED} Received: source={arguments.describe(source)}")
    path = os.path.expanduser(os.fspath(source))
    if source in _BUNDLED or path.lower().endswith(".npz"):
        _refuse(source, crop=crop, size=size, sampling_rate=sampling_rate)
        bundled = _BUNDLED.get(source)
        return bundled(in_memory) if bundled else npz.read(path, in_memory, None if degraded else task)
    if size is not None and len(size) == 3 and (degraded or task.of_pixels or not os.path.exists(path)):
        raise ValueError(
            "`size` with a number of frames is for folders of video with a class for each file. "
            f"Received: source={arguments.describe(source)}, size={size}"
        )
    if os.path.isdir(path) and task.of_pixels and not degraded:
        _refuse(source, crop=crop, sampling_rate=sampling_rate)
        return pairs.read(path, task.partner, size, mask_colors, in_memory, skip_unreadable)
    if os.path.exists(path):
        listed = _list_files(path, source, task, degraded, size)
        return listing.read(listed, size, sampling_rate, skip_unreadable, crop, in_memory)
    if not isinstance(source, str) or files.is_path(source):
        raise ValueError(f"The path does not exist. {catalog.ACCEPTED} Received: source={source!r}")
    _refuse(source, sampling_rate=sampling_rate)
    if task.partner == "masks":
        _refuse(source, crop=crop)
        return catalog.read_masks(source, data_dir, size, in_memory)
    return catalog.read(source, data_dir, size, crop, in_memory, task.has_labels)


def _list_files(path: str, source, task: Task, degraded: bool, size: tuple[int, ...] | None) -> Listing:
    """Return the files of a folder or of a table with their classes, or of a folder of images that are degraded."""
    if not (task.has_labels or degraded):
        raise ValueError(
            "A folder or a table has one class per file, where this task needs other targets: write an .npz file. "
            f"Received: source={source!r}, task={task.name!r}"
        )
    if not os.path.isdir(path):
        _check_suffix(path, source)
        return table.list_files(path, path, size)
    if degraded and (listed := pairs.list_images(path)):
        return listed
    labels = table.find(path)
    return folder.list_files(path, size) if labels is None else table.list_files(labels, path, size)


def check_source(source: str, data_dir: str | None = None):
    """Raise ValueError if there is no data set of this name or path; TensorFlow is not imported for that.

    Args:
        source: Name or path of a data set, see `read`.
        data_dir: Folder in which TensorFlow Datasets keeps its data; default None, its own default.
    """
    path = os.path.expanduser(source)
    if os.path.isfile(path) and not path.lower().endswith(".npz"):
        _check_suffix(path, source)
    elif files.is_path(source):
        files.check_exists("The data set", source)
    elif source not in _BUNDLED and not os.path.exists(path):
        catalog.check_name(source, data_dir)


def absolute(source: str) -> str:
    """Return the path of a data set as an absolute one, and the name of one as it is.

    What `read` takes as a path is one: text with the form of a path, and whatever exists in the working directory.

    Args:
        source: Name or path of a data set, see `read`.

    Example:
        >>> absolute("digits"), absolute("/data/photos/"), absolute("cifar10")
        ('digits', '/data/photos', 'cifar10')
    """
    path = os.path.expanduser(source)
    is_path = source not in _BUNDLED and (files.is_path(source) or os.path.exists(path))
    return os.path.abspath(path) if is_path else source


def _check_suffix(path: str, source):
    if not path.lower().endswith(".csv"):
        raise ValueError(f"No data set is in a file of this kind. {catalog.ACCEPTED} Received: source={source!r}")


_MEANT_FOR = {
    "crop": "folders of images and TensorFlow data sets of images",
    "size": "folders of images or sounds and TensorFlow data sets; the examples of this source already have one size",
    "sampling_rate": "folders of .wav files",
}


def _refuse(source, **settings):
    """Raise ValueError if a setting that does not suit the source is given."""
    for name, value in settings.items():
        if value is not None:
            raise ValueError(
                f"`{name}` is for {_MEANT_FOR[name]}. Received: source={arguments.describe(source)}, "
                f"{name}={getattr(value, 'kind', value)}"
            )
