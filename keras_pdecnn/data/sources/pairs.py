"""Folders of images with a partner for each: its mask, or the image that it is to become."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from keras_pdecnn.data import images
from keras_pdecnn.data.memory import check_memory, refuse_streaming
from keras_pdecnn.data.sources.folder import PARTS
from keras_pdecnn.data.sources.listing import Listing, by_hash, left_out, test_count
from keras_pdecnn.data.sources.media import Images
from keras_pdecnn.data.sources.raw import Raw

_IMAGES = "images"
_NAMES = "classes.txt"


def read(
    path: str,
    partner: str | None,
    size: tuple[int, ...] | None,
    mask_colors: tuple[str, ...] | None = None,
    in_memory: bool | None = None,
    skip_unreadable: bool = False,
) -> Raw:
    """Return the images of a folder `images` with their partners, the files of the same names in another folder.

    Both folders lie in `path`, of which a fifth of the images, by a hash of their names, is then the test part; or in
    its sub-folders `train`, `test` and perhaps `val`. A file classes.txt beside them names the classes of masks, one
    per line.

    Args:
        path: Path of the folder.
        partner: Name of the folder of the partners, "masks" or "targets".
        size: Size to which images and partners are resized; default None, the size of the files.
        mask_colors: Colours of the classes in masks; default None, masks hold the numbers of the classes.
        in_memory: Whether the images are held in memory, which they must be; False is an error.
        skip_unreadable: Whether to leave out images that cannot be read, or whose partners cannot; default False, they
            are an error. The parts are chosen before, so that the other images stay where they are.
    """
    refuse_streaming(in_memory, f"source={path!r}", "Images with partners are held in memory.")
    if partner is None:
        raise ValueError(f"This task takes no folders. Received: source={path!r}")
    pairs = {part: _pairs(folder, partner) for part, folder in _part_folders(path, partner).items()}
    if "test" not in pairs:
        every = pairs["train"]
        if len(every) < 2:
            raise ValueError(f"There must be two images, one to train and one to test. Received: source={path!r}")
        count = test_count(len(every))
        pairs |= {"test": every[:count], "train": every[count:]}
    with ThreadPoolExecutor(min(16, os.cpu_count() or 1)) as pool:
        skipped: tuple[str, ...] = ()
        if skip_unreadable:
            pairs, skipped = _readable(pairs, pool)
        files = [file for part in pairs.values() for file, _ in part]
        headers = dict(zip(files, pool.map(images.measure_image, files), strict=True))
        plan = Images().plan(headers, size, None, path, None)
        check_memory(2 * len(files) * plan.example_bytes, path)

        def examples(part):
            return np.stack(list(pool.map(plan.read, [file for file, _ in pairs[part]])))

        def targets(part):
            shape, read_mask = plan.shape, partner == "masks"

            def one(pair):
                image, other = pair
                measured = images.measure_image(other)[:2]
                if measured != headers[image][:2]:
                    raise ValueError(
                        f"An image and its partner must have the same size. Received: {headers[image][:2]} in "
                        f"{image!r} and {measured} in {other!r}"
                    )
                if read_mask:
                    return images.read_mask(other, shape[:2], mask_colors)
                return images.read_image(other, shape)

            return np.stack(list(pool.map(one, pairs[part])))

        arrays = {f"x_{part}": examples(part) for part in pairs} | {f"y_{part}": targets(part) for part in pairs}
    return Raw(os.path.basename(os.path.abspath(path)), path, class_names=_names(path), skipped=skipped, **arrays)


def _readable(pairs: dict[str, list[tuple[str, str]]], pool: ThreadPoolExecutor) -> tuple:
    """Return the pairs of which both files can be read, and the files that cannot."""
    every = [file for part in pairs.values() for pair in part for file in pair]
    unreadable = {file: reason for file, reason in zip(every, pool.map(_reason, every), strict=True) if reason}
    left = {part: [pair for pair in of_part if not unreadable.keys() & pair] for part, of_part in pairs.items()}
    for part, of_part in left.items():
        if not of_part:
            raise ValueError(f"No image of the part {part!r} can be read; the first: {next(iter(unreadable.values()))}")
    return left, left_out(every, unreadable)


def _reason(file: str) -> str:
    """Return why an image file cannot be read; empty if it can."""
    try:
        images.check_image(file)
    except ValueError as error:
        return str(error)
    return ""


def list_images(path: str) -> Listing | None:
    """Return the images in a folder, or in its folder `images`, without classes; None if there are none.

    They may be divided into `train`, `test` and perhaps `val`, as images with partners are; otherwise a fifth, by a
    hash of the names, is the test part.
    """
    folders = _divided(path, lambda folder: bool(_files(_inside(folder))))
    if folders is None:
        return None
    parts = {part: [(file, 0) for file in _files(_inside(folder))] for part, folder in folders.items()}
    if "test" not in parts:
        if len(parts["train"]) < 2:
            raise ValueError(f"There must be two images, one to train and one to test. Received: source={path!r}")
        count = test_count(len(parts["train"]))
        parts = {"train": parts["train"][count:], "test": parts["train"][:count]}
    return Listing(path, Images(), ("image",), parts)


def _inside(folder: str) -> str:
    images_folder = os.path.join(folder, _IMAGES)
    return images_folder if os.path.isdir(images_folder) else folder


def _part_folders(path: str, partner: str) -> dict[str, str]:
    folders = _divided(path, lambda folder: os.path.isdir(os.path.join(folder, _IMAGES)))
    if folders is None:
        raise ValueError(
            f"A folder for this task must hold the folders {_IMAGES!r} and {partner!r}, or train and test with these. "
            f"Received: source={path!r}"
        )
    return folders


def _divided(path: str, has_images) -> dict[str, str] | None:
    """Return the folder of each part that has images; the folder itself is the training part if it has them."""
    if has_images(path):
        return {"train": path}
    inside = sorted(entry.name for entry in os.scandir(path) if entry.is_dir())
    folders = {}
    for part, names in PARTS.items():
        present = [os.path.join(path, name) for name in inside if name.lower() in names]
        if present and has_images(present[0]):
            folders[part] = present[0]
    return folders if "train" in folders else None


def _pairs(folder: str, partner: str) -> list[tuple[str, str]]:
    """Return the images of a folder with their partners, ordered by a hash of their names."""
    others = os.path.join(folder, partner)
    if not os.path.isdir(others):
        raise ValueError(f"The folder {partner!r} is missing beside {_IMAGES!r}. Received: {folder!r}")
    of_stem = {os.path.splitext(os.path.basename(file))[0]: file for file in _files(others)}
    files = _files(os.path.join(folder, _IMAGES))
    if not files:
        raise ValueError(f"The folder {_IMAGES!r} holds no images. Received: {folder!r}")
    pairs = []
    for file in files:
        other = of_stem.pop(os.path.splitext(os.path.basename(file))[0], None)
        if other is None:
            raise ValueError(f"The image has no file of its name in {partner!r}. Received: {file!r}")
        pairs.append((file, other))
    if of_stem:
        raise ValueError(f"The file has no image of its name in {_IMAGES!r}. Received: {min(of_stem.values())!r}")
    return pairs


def _files(folder: str) -> list[str]:
    names = [name for name in os.listdir(folder) if name.lower().endswith(images.SUFFIXES) and name[0] != "."]
    return [os.path.join(folder, name) for name in by_hash(names)]


def _names(path: str) -> tuple[str, ...] | None:
    file = os.path.join(path, _NAMES)
    if not os.path.isfile(file):
        return None
    try:
        with open(file, encoding="utf-8") as lines:
            return tuple(line.strip() for line in lines if line.strip())
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"The names of the classes cannot be read ({error}). Received: {file!r}") from error
