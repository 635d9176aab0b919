"""Folders with one sub-folder of images, sounds or videos per class, perhaps divided into train/, val/ and test/."""

from __future__ import annotations

import os

from keras_pdecnn.data.sources.listing import Listing, by_hash, test_count
from keras_pdecnn.data.sources.media import KINDS, Images, Sounds, kind_of

PARTS = {
    "train": ("train", "training"),
    "validation": ("val", "valid", "validation"),
    "test": ("test", "testing"),
}


def list_files(path: str, size: tuple[int, ...] | None = None) -> Listing:
    """Return the files of a folder with one sub-folder per class.

    Without a test part, a fifth of each class of the training part, at least one file, is the test part: those whose
    names hash lowest. It depends on the file names alone. If there are folders `train` and `test`, or `val`, with one
    sub-folder per class each, they are the parts.

    Args:
        path: Path of the folder.
        size: Size of the examples, see `media.kind_of`; default None.
    """
    parts = _part_folders(path)
    names = _folders(parts["train"])
    if not names:
        raise ValueError(
            f"A folder of images, sounds or videos must have one sub-folder per class. Received: source={path!r}"
        )
    for folder in parts.values():
        others = [name for name in _folders(folder) if name not in names]
        if others or not _folders(folder):
            raise ValueError(
                f"Each part must have one sub-folder per class, and no others than {parts['train']!r}. "
                f"Received: {folder!r} with {', '.join(map(repr, others)) or 'none'}"
            )
    names_of_files = [file for folder in parts.values() for name in _folders(folder) for file in _listdir(folder, name)]
    kind = kind_of(names_of_files, size)
    files: dict[str, list[tuple[str, int]]] = {part: [] for part in (*parts, "test")}
    for label, name in enumerate(names):
        for part, folder in parts.items():
            if not os.path.isdir(os.path.join(folder, name)):
                continue
            is_divided = part == "train" and "test" not in parts
            of_class = _files(folder, name, kind, least=2 if is_divided else 1)
            count = test_count(len(of_class)) if is_divided else 0
            files["test"] += [(file, label) for file in of_class[:count]]
            files[part] += [(file, label) for file in of_class[count:]]
    return Listing(path, kind or KINDS[0], tuple(names), files)


def _part_folders(path: str) -> dict[str, str]:
    """Return the folder of each part by name; the folder itself is the training part if it is not divided.

    A class may be called "train", too: a part has sub-folders and holds no images or sounds itself.
    """
    folders = {}
    inside = _folders(path)
    for part, names in PARTS.items():
        present = [os.path.join(path, name) for name in inside if name.lower() in names]
        if present:
            folders[part] = present[0]
    train = folders.get("train")
    if train is None or len(folders) == 1 or not _folders(train) or kind_of(_listdir(train, "")):
        return {"train": path}
    others = sorted(set(inside) - {os.path.basename(folder) for folder in folders.values()})
    if others:
        raise ValueError(
            f"A folder with {' and '.join(os.path.basename(folder) for folder in folders.values())} must have no other "
            f"sub-folders. Received: source={path!r} with {', '.join(map(repr, others))}"
        )
    return folders


def _folders(path: str) -> list[str]:
    return sorted(entry.name for entry in os.scandir(path) if entry.is_dir() and not entry.name.startswith("."))


def _listdir(path: str, name: str) -> list[str]:
    return [file for file in os.listdir(os.path.join(path, name)) if not file.startswith(".")]


def _files(path: str, name: str, kind: Images | Sounds | None, least: int) -> list[str]:
    """Return the files of a class, ordered by a hash of their names."""
    folder = os.path.join(path, name)
    suffixes = (kind or KINDS[0]).suffixes
    files = [file for file in _listdir(path, name) if file.lower().endswith(suffixes)]
    if len(files) < least:
        forms = [kind] if kind else KINDS
        what = " or ".join(f"{form.noun} ({', '.join(form.suffixes)})" for form in forms)
        count = "two" if least == 2 else "one of the"
        why = ", one to train and one to test" if least == 2 else ""
        raise ValueError(
            f"Every class folder must hold at least {count} {what}{why}. Received: {len(files)} in {folder!r}"
        )
    ordered = by_hash([f"{name}/{file}" for file in files])
    return [os.path.join(folder, entry.removeprefix(f"{name}/")) for entry in ordered]
