"""Errors of a run that fails."""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING

from keras_pdecnn import data, distribute
from keras_pdecnn.callbacks import Divergence
from keras_pdecnn.runs import RunFolder
from keras_pdecnn.runs.checkpoints import CheckpointError, CheckpointFolder
from keras_pdecnn.training.result import Result

if TYPE_CHECKING:
    import tensorflow as tf


class DivergedError(RuntimeError):
    """The loss stopped being finite; the run folder holds the last good model.

    Attributes:
        divergence: A `callbacks.Divergence`, which says where.
        result: The `Result` of the run.
    """

    def __init__(self, divergence: Divergence, result: Result):
        super().__init__(
            f"The training diverged: {divergence}. The last good weights are in {str(result.folder.path)!r}."
        )
        self.divergence = divergence
        self.result = result


class StoppedError(RuntimeError):
    """A run stopped before its end.

    A file could not be written or read, the memory does not suffice, or another worker no longer answers.

    The files in the run folder are undamaged; `run(…, resume=True)` continues from the last checkpoint.
    """


class Interrupted(KeyboardInterrupt):
    """A run was interrupted from the keyboard; `run(…, resume=True)` continues from the last checkpoint.

    Args:
        folder: Path of the run folder.
        epochs: Number of completed epochs that the last checkpoint holds; None if the training has not begun.

    Example:
        >>> issubclass(Interrupted, KeyboardInterrupt)
        True
    """

    def __init__(self, folder: str, epochs: int | None):
        super().__init__(folder)
        self.folder = folder
        self.epochs = epochs


@contextlib.contextmanager
def report_interruption(path):
    """Raise an `Interrupted`, which tells how far the run in a folder has come, if it is interrupted."""
    try:
        yield
    except KeyboardInterrupt as error:
        folder = RunFolder(path)
        last = CheckpointFolder(folder.checkpoints).last_epoch() if folder.is_begun() else None
        raise Interrupted(str(path), last) from error


@contextlib.contextmanager
def report_files(path):
    """Raise a StoppedError if a file cannot be written, or one of the data set cannot be read any more."""
    try:
        yield
    except CheckpointError as error:
        raise StoppedError(str(error)) from error
    except OSError as error:
        raise StoppedError(f"The run in {str(path)!r} stopped, a file could not be written: {error}.") from error
    except data.ReadError as error:
        raise StoppedError(f"The run in {str(path)!r} stopped. {error}") from error


@contextlib.contextmanager
def report_memory(path):
    """Raise a StoppedError if there is not enough memory, for which every backend has errors of its own."""
    try:
        yield
    except Exception as error:
        if not _is_out_of_memory(error):
            raise
        reason = str(error).strip().partition("\n")[0]
        raise StoppedError(
            f"The run in {str(path)!r} stopped: out of memory. Begin a new one with a smaller batch_size or network; "
            f"`keras-pdecnn describe` tells what they need. {reason}"
        ) from error


def _is_out_of_memory(error: Exception) -> bool:
    from tensorflow import errors

    if isinstance(error, MemoryError | errors.ResourceExhaustedError):
        return True
    # torch.OutOfMemoryError, JAX's RuntimeError and that of PyTorch's allocator on a CPU
    text = str(error)
    return isinstance(error, RuntimeError) and (
        type(error).__name__ == "OutOfMemoryError"
        or text.startswith("RESOURCE_EXHAUSTED")
        or "DefaultCPUAllocator: can't allocate memory" in text
    )


@contextlib.contextmanager
def report_unreadable():
    """Raise a `data.ReadError` if an example could not be read, which TensorFlow reports as another error."""
    from tensorflow import errors

    try:
        yield
    except errors.OpError as error:
        # The message is that of an assertion, in brackets.
        message = re.search(r"ReadError: (.*?)\](?: \[|$)", error.message, re.MULTILINE)
        if not message:
            raise
        raise data.ReadError(_unescaped(message.group(1))) from error


def _unescaped(text: str) -> str:
    """Return a text with the characters that TensorFlow writes as backslashes and octal numbers."""

    def character(match: re.Match) -> bytes:
        code = match.group(1)
        return bytes([int(code, 8)]) if len(code) > 1 else {b"n": b"\n", b"t": b"\t"}.get(code, code)

    return re.sub(rb"\\([0-7]{3}|.)", character, text.encode()).decode("utf-8", "replace")


@contextlib.contextmanager
def report_lost_worker(strategy: tf.distribute.Strategy):
    """Raise a StoppedError on this worker if another one no longer answers."""
    if not distribute.in_cluster(strategy):
        yield
        return
    from tensorflow import errors

    # Which of these TensorFlow raises when a worker is lost depends on the moment.
    lost = (
        errors.UnavailableError,
        errors.AbortedError,
        errors.CancelledError,
        errors.DeadlineExceededError,
        errors.InternalError,
    )
    try:
        yield
    except lost as error:
        index, count = distribute.worker(strategy)
        reason = str(error).partition("The error could be from a previous operation")[0].strip().splitlines()
        raise StoppedError(
            f"Worker {index} of {count} stopped, as another one no longer answers: start all of them again with "
            f"--resume. TensorFlow says: {' '.join(reason[-3:])}"
        ) from error
