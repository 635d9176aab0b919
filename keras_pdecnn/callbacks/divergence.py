"""A callback that stops a training that diverged."""

from __future__ import annotations

import dataclasses
import math

import keras

from keras_pdecnn.callbacks.weights import are_finite
from keras_pdecnn.utils.optimizers import build_optimizer


@dataclasses.dataclass(frozen=True)
class Divergence:
    """Where a training diverged; epochs and batches are counted from 1, as Keras's progress bar does.

    Args:
        epoch: Number of the epoch.
        batch: Number of the batch whose loss was not finite; None if this was seen only at the end of the epoch.
        loss: Value of the loss.

    Example:
        >>> print(Divergence(epoch=2, batch=7, loss=float("inf")))
        the loss was inf at epoch 2, batch 7
    """

    epoch: int
    batch: int | None
    loss: float

    def __str__(self):
        where = f"epoch {self.epoch}, batch {self.batch}" if self.batch else f"the end of epoch {self.epoch}"
        what = "the weights were not finite" if math.isfinite(self.loss) else f"the loss was {self.loss}"
        return f"{what} at {where}"


class DivergenceGuard(keras.callbacks.Callback):
    """Stops a training whose loss is no longer finite, and restores the last good weights.

    These are the weights of the model, and the variables of its optimiser, at the end of the last epoch whose loss,
    validation loss and weights were all finite, or else their initial values. They are kept in host memory.

    Attributes:
        divergence: A `Divergence`, or None as long as the training has not diverged.

    Example:
        >>> guard = DivergenceGuard()
        >>> model.fit(x, y, callbacks=[guard])  # doctest: +SKIP
        >>> print(guard.divergence)
        None
    """

    def __init__(self):
        super().__init__()
        self.divergence = None

    def on_train_begin(self, logs=None):
        self.divergence = None
        build_optimizer(self.model)
        self._keep()

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch = epoch + 1

    def on_train_batch_end(self, batch, logs=None):
        # Keras reports the mean over the epoch so far, which is finite until the first loss that is not.
        loss = float((logs or {}).get("loss", 0.0))
        if not math.isfinite(loss):
            self._stop(batch + 1, loss)

    def on_epoch_end(self, epoch, logs=None):
        if self.divergence is not None:
            return
        losses = [float(value) for name, value in (logs or {}).items() if name in ("loss", "val_loss")]
        if not all(map(math.isfinite, losses)):
            self._stop(None, next(loss for loss in losses if not math.isfinite(loss)))
        elif not are_finite(self.model):
            self._stop(None, losses[0] if losses else 0.0)
        else:
            self._keep()

    def on_train_end(self, logs=None):
        if self.divergence is not None:
            for variable, value in zip(self._variables(), self._good, strict=True):
                variable.assign(value)

    def _stop(self, batch, loss):
        self.divergence = Divergence(self._epoch, batch, loss)
        self.model.stop_training = True

    def _keep(self):
        self._good = [keras.ops.convert_to_numpy(variable).copy() for variable in self._variables()]

    def _variables(self):
        return [*self.model.weights, *self.model.optimizer.variables]
