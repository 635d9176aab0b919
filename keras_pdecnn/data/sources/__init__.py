"""Sources of data sets: each module reads one kind of source into arrays."""

import os

from keras_pdecnn.data.sources import catalog, digits, folder, npz
from keras_pdecnn.data.sources.raw import Raw
from keras_pdecnn.utils import arguments, files

__all__ = ["Raw", "read"]


def read(
    source: str | os.PathLike, *, data_dir: str | os.PathLike | None = None, size: tuple[int, ...] | None = None
) -> Raw:
    """Return the arrays of a source, which are not checked yet.

    Args:
        source: `"digits"`, the path of an .npz file or of a folder, or the name of a TensorFlow data set.
        data_dir: Folder in which TensorFlow Datasets keeps its data; default None, its own default.
        size: A tuple of one or two sizes; default None, the sizes of the examples themselves.

    Returns:
        A `Raw`.

    Raises:
        ValueError: If the source does not exist or cannot be read.
    """
    if not (isinstance(source, (str, os.PathLike)) and os.fspath(source)):
        raise ValueError(f"{catalog.ACCEPTED} Received: source={arguments.describe(source)}")
    path = os.path.expanduser(os.fspath(source))
    if source == "digits" or path.lower().endswith(".npz"):
        if size is not None:
            raise ValueError(
                "`size` is for folders of images and TensorFlow data sets; the examples of this source already have "
                f"one size. Received: source={source!r}, size={size}"
            )
        return digits.read() if source == "digits" else npz.read(path)
    if os.path.isdir(path):
        return folder.read(path, size)
    if os.path.exists(path):
        raise ValueError(
            f"The file is neither a folder nor an .npz file. {catalog.ACCEPTED} Received: source={source!r}"
        )
    if not isinstance(source, str) or files.is_path(source):
        raise ValueError(f"The path does not exist. {catalog.ACCEPTED} Received: source={source!r}")
    return catalog.read(source, data_dir, size)
