"""How a run fails."""

from __future__ import annotations

import contextlib

import tensorflow as tf

from keras_pdecnn import distribute
from keras_pdecnn.callbacks import Divergence
from keras_pdecnn.runs.checkpoints import CheckpointError
from keras_pdecnn.training.result import Result


class DivergedError(RuntimeError):
    """The loss stopped being finite; the run folder holds the last good model.

    Attributes:
        divergence: Where, a `callbacks.Divergence`.
        result: The `Result` of the run.
    """

    def __init__(self, divergence: Divergence, result: Result):
        super().__init__(
            f"The training diverged: {divergence}. The last good weights are in {str(result.folder.path)!r}."
        )
        self.divergence = divergence
        self.result = result


class StoppedError(RuntimeError):
    """A run stopped before its end: a file could not be written, or another worker no longer answers.

    What the run folder holds is whole; `run(…, resume=True)` goes on from its last checkpoint.
    """


@contextlib.contextmanager
def report_files(path):
    """Raise a StoppedError if a file cannot be written."""
    try:
        yield
    except CheckpointError as error:
        raise StoppedError(str(error)) from error
    except OSError as error:
        raise StoppedError(f"The run in {str(path)!r} stopped, a file could not be written: {error}.") from error


@contextlib.contextmanager
def report_lost_worker(strategy: tf.distribute.Strategy):
    """Raise a StoppedError on the other workers if one of them is gone."""
    try:
        yield
    except _LOST as error:
        if not distribute.in_cluster(strategy):
            raise
        index, count = distribute.worker(strategy)
        reason = str(error).partition("The error could be from a previous operation")[0].strip().splitlines()
        raise StoppedError(
            f"Worker {index} of {count} stopped, as another one no longer answers: start all of them again with "
            f"--resume. TensorFlow says: {' '.join(reason[-3:])}"
        ) from error


# What TensorFlow raises, by the moment, when a worker is gone.
_LOST = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.InternalError,
)
