"""Folders of images, one sub-folder per class."""

import hashlib
import math
import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from keras_pdecnn.data.images import SUFFIXES, measure_image, read_image
from keras_pdecnn.data.memory import check_memory
from keras_pdecnn.data.sources.raw import Raw

_TEST = 0.2


def read(path, size=None):
    """Return the images of a folder: gray if all of them are, otherwise RGB.

    A fifth of each class, at least one image, is the test part: those whose names hash lowest. It depends on
    the file names alone.
    """
    names = sorted(entry.name for entry in os.scandir(path) if entry.is_dir() and not entry.name.startswith("."))
    if not names:
        raise ValueError(f"A folder of images must have one sub-folder per class. Received: source={path!r}")
    train, test = [], []
    for label, name in enumerate(names):
        files = _files(path, name)
        count = max(1, math.floor(_TEST * len(files) + 0.5))
        test += [(file, label) for file in files[:count]]
        train += [(file, label) for file in files[count:]]
    with ThreadPoolExecutor(min(16, os.cpu_count() or 1)) as pool:
        shape = _common_shape([file for file, _ in train + test], size, path, pool)
        check_memory(len(train + test) * math.prod(shape), path)
        x_train, x_test = (_read_all([file for file, _ in part], shape, pool) for part in (train, test))
    y_train, y_test = (np.array([label for _, label in part]) for part in (train, test))
    name = os.path.basename(os.path.abspath(path))
    return Raw(name, path, x_train, y_train, x_test, y_test, tuple(names))


def _files(path, name):
    """Return the image files of a class, ordered by a hash of their names."""
    folder = os.path.join(path, name)
    files = [file for file in os.listdir(folder) if file.lower().endswith(SUFFIXES) and not file.startswith(".")]
    if len(files) < 2:
        raise ValueError(
            f"Every class folder must hold at least two images ({', '.join(SUFFIXES)}), one to train and one to "
            f"test. Received: {len(files)} in {folder!r}"
        )
    files.sort(key=lambda file: hashlib.sha256(f"{name}/{file}".encode("utf-8", "surrogateescape")).digest())
    return [os.path.join(folder, file) for file in files]


def _common_shape(files, size, path, pool):
    shapes = list(pool.map(measure_image, files))
    channels = max(shape[2] for shape in shapes)
    if size is not None:
        return size[0], size[-1], channels
    for file, shape in zip(files, shapes, strict=True):
        if shape[:2] != shapes[0][:2]:
            raise ValueError(
                f"The images of {path!r} differ in size; give `size` to resize them. Received: "
                f"{shapes[0][:2]} in {files[0]!r} and {shape[:2]} in {file!r}, size=None"
            )
    return *shapes[0][:2], channels


def _read_all(files, shape, pool):
    x = np.empty((len(files), *shape), np.uint8)

    def fill(index):
        x[index] = read_image(files[index], shape)

    list(pool.map(fill, range(len(files))))  # a list, so that errors are raised
    return x
