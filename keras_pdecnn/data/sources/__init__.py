"""Where data sets come from: each module reads one kind of source into arrays."""

import os

from keras_pdecnn.data.sources import catalog, digits, folder, npz
from keras_pdecnn.data.sources.raw import Raw

__all__ = ["Raw", "read"]


def read(
    source: str | os.PathLike, *, data_dir: str | os.PathLike | None = None, size: tuple[int, ...] | None = None
) -> Raw:
    """Returns the arrays of a source, not yet checked.

    Args:
        source: `"digits"`, the path of an .npz file or of a folder, or the name of a TensorFlow data set.
        data_dir: Where TensorFlow Datasets keeps its data.
        size: A tuple of one or two sizes, or None.

    Returns:
        A `Raw`.

    Raises:
        ValueError: if there is no such source, or it cannot be read.
    """
    if not (isinstance(source, (str, os.PathLike)) and os.fspath(source)):
        raise ValueError(f"{catalog.ACCEPTED} Received: source={source!r}")
    path = os.path.expanduser(os.fspath(source))
    if source == "digits" or path.lower().endswith(".npz"):
        if size is not None:
            raise ValueError(
                "`size` is for folders of images and TensorFlow data sets; the examples of this source have one "
                f"size. Received: source={source!r}, size={size}"
            )
        return digits.read() if source == "digits" else npz.read(path)
    if os.path.isdir(path):
        return folder.read(path, size)
    if not isinstance(source, str) or os.path.isfile(path) or path.startswith((".", os.sep)):
        raise ValueError(f"There is no such folder. {catalog.ACCEPTED} Received: source={source!r}")
    return catalog.read(source, data_dir, size)
