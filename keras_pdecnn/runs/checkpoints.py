"""Checkpoints of a training: a few files, each written as a whole and verified when it is read."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import logging
import pathlib
import re
import time

import keras
import numpy as np

from keras_pdecnn.utils import files
from keras_pdecnn.utils.optimizers import build_optimizer

_HEAD = b"keras_pdecnn checkpoint sha256 "
_LOG = logging.getLogger(__name__)


class CheckpointError(RuntimeError):
    """A checkpoint could not be written; the earlier ones are undamaged."""


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """The state of a training after some epochs.

    Args:
        epoch: Number of completed epochs.
        seconds: Time that these epochs took, in seconds.
        values: Values of the variables of the model and of its optimiser, in their order.
    """

    epoch: int
    seconds: float
    values: tuple[np.ndarray, ...]

    @classmethod
    def of(cls, model: keras.Model, epoch: int, seconds: float) -> Checkpoint:
        """Return the state of a compiled model."""
        return cls(epoch, seconds, tuple(keras.ops.convert_to_numpy(variable) for variable in _variables(model)))

    def restore(self, model: keras.Model):
        """Set the variables of a compiled model to this state.

        Raises:
            ValueError: If the state is that of another network or optimiser.
        """
        variables = _variables(model)
        expected, received = ([(tuple(v.shape), str(v.dtype)) for v in side] for side in (variables, self.values))
        if expected != received:
            raise ValueError(
                f"The checkpoint is of another network or optimiser: {len(variables)} variables were expected. "
                f"Received: {len(self.values)} variables, or others in shape or type"
            )
        for variable, value in zip(variables, self.values, strict=True):
            variable.assign(value)


def _variables(model: keras.Model) -> list:
    build_optimizer(model)
    # The variables of the model include the states of random layers, but not its metrics, which are reset each epoch.
    return [*model.variables, *model.optimizer.variables]


class CheckpointFolder:
    """A folder of checkpoints, with one file for each: epoch-00003.checkpoint after three epochs.

    A file holds the SHA-256 of its content, and has its name only when it is complete.

    Args:
        path: Path of the folder, which need not exist.
        keep: Number of checkpoints to keep; default 2, so that one remains if the last one is damaged.
    """

    def __init__(self, path, keep: int = 2):
        self.path = pathlib.Path(path)
        self.keep = keep

    def write(self, checkpoint: Checkpoint):
        """Write a checkpoint, then remove the oldest ones.

        Raises:
            CheckpointError: If the checkpoint cannot be written.
        """
        path, good = self.path / f"epoch-{checkpoint.epoch:05d}.checkpoint", []
        try:
            self.path.mkdir(exist_ok=True)
            good = self.paths()
            files.replace(path, _to_bytes(checkpoint))
            for old in self.paths()[: -self.keep]:
                old.unlink()
        except OSError as error:
            last = f"the last one is {str(good[-1])!r}" if good else "there is none before it"
            raise CheckpointError(
                f"The checkpoint {str(path)!r} could not be written ({error.strerror}); {last}."
            ) from error

    def paths(self) -> list[pathlib.Path]:
        """Return the files of the checkpoints, the newest last."""
        paths = [path for path in self.path.glob("*") if re.fullmatch(r"epoch-\d{5,}\.checkpoint", path.name)]
        return sorted(paths, key=lambda path: int(path.stem.removeprefix("epoch-")))

    def last_epoch(self) -> int:
        """Return the number of completed epochs of the newest checkpoint by its name; 0 if there is none."""
        return max((int(path.stem.removeprefix("epoch-")) for path in self.paths()), default=0)

    def read_last(self) -> Checkpoint | None:
        """Return the newest undamaged checkpoint, or None if there is none; damaged ones are logged by name."""
        for path in reversed(self.paths()):
            try:
                return _from_bytes(path.read_bytes())
            except (OSError, ValueError) as error:
                _LOG.warning("The checkpoint %r is damaged and left out: %s", str(path), error)
        return None


class CheckpointWriter(keras.callbacks.Callback):
    """Writes a checkpoint after each epoch, except after an epoch that stopped the training.

    Args:
        folder: A `CheckpointFolder`.
        seconds: Time that earlier epochs took, in seconds; default 0.
    """

    def __init__(self, folder: CheckpointFolder, seconds: float = 0.0):
        super().__init__()
        self.folder = folder
        self.seconds = seconds

    def on_train_begin(self, logs=None):
        self._start = time.perf_counter() - self.seconds

    def on_epoch_end(self, epoch, logs=None):
        if not self.model.stop_training:
            self.folder.write(Checkpoint.of(self.model, epoch + 1, time.perf_counter() - self._start))


def _to_bytes(checkpoint: Checkpoint) -> bytes:
    file = io.BytesIO()
    np.savez(file, np.int64(checkpoint.epoch), np.float64(checkpoint.seconds), *checkpoint.values)
    content = file.getvalue()
    return _HEAD + hashlib.sha256(content).hexdigest().encode() + b"\n" + content


def _from_bytes(data: bytes) -> Checkpoint:
    head, _, content = data.partition(b"\n")
    if head != _HEAD + hashlib.sha256(content).hexdigest().encode():
        raise ValueError("its content does not have the checksum in its first line")
    with np.load(io.BytesIO(content), allow_pickle=False) as archive:
        epoch, seconds, *values = (archive[f"arr_{index}"] for index in range(len(archive.files)))
    return Checkpoint(int(epoch), float(seconds), tuple(values))
