"""What is known of the files of a data set, kept beside them so that it is found out once."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os

import numpy as np

NAME = ".keras_pdecnn_index"
_LOG = logging.getLogger(__name__)


def read_json(folder: str) -> dict:
    """Return what is kept of the files in a folder; empty if there is nothing, or it is damaged."""
    try:
        with open(os.path.join(folder, f"{NAME}.json"), encoding="utf-8") as file:
            content = json.load(file)
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def write_json(folder: str, content: dict):
    """Keep what is known of the files in a folder, if it can be written to."""
    _write(os.path.join(folder, f"{NAME}.json"), json.dumps(content).encode())


def read_arrays(folder: str, name: str) -> dict[str, np.ndarray]:
    """Return the arrays that are kept under a name in a folder; empty if there are none, or they are damaged."""
    try:
        with np.load(os.path.join(folder, f"{NAME}.{name}.npz"), allow_pickle=False) as archive:
            return dict(archive)
    except Exception:  # a damaged archive raises a dozen types
        return {}


def write_arrays(folder: str, name: str, **arrays: np.ndarray):
    """Keep arrays under a name in a folder, if it can be written to."""
    content = io.BytesIO()
    np.savez(content, **arrays)  # type: ignore[arg-type]
    _write(os.path.join(folder, f"{NAME}.{name}.npz"), content.getvalue())


def _write(path: str, content: bytes):
    """Write a file as a whole, each of several processes its own; without the right or the room to, write nothing."""
    part = f"{path}.{os.getpid()}.part"
    try:
        with open(part, "wb") as file:
            file.write(content)
        os.replace(part, path)
    except OSError as error:
        _LOG.info("The index of a data set is not kept: %s", error)
        with contextlib.suppress(OSError):
            os.unlink(part)
