"""A callback that watches the stability of a network during training."""

from __future__ import annotations

import os
import warnings

import keras

from keras_pdecnn.callbacks.weights import are_finite
from keras_pdecnn.stability.report import passed_limits, report
from keras_pdecnn.utils import arguments, optional


class StabilityMonitor(keras.callbacks.Callback):
    """Logs norms, step limits and the growth of a disturbance to TensorBoard, and warns when a limit is passed.

    Each block has three curves over the epochs: BLOCK/norm, the largest certified norm of a convolution;
    BLOCK/step_ratio, the largest h / h_max, if the block has a limit; and BLOCK/growth, the growth of a small
    disturbance from the start to the end of the block. They are in the folder `stability`, beside the folders `train`
    and `validation` of `keras.callbacks.TensorBoard`. Epochs that end with weights that are not finite are left out.

    At the first epoch that ends with h > h_max, there is one `warnings.warn` per block. It says whether the limit is a
    theorem; see `stability.report`.

    Args:
        x: Inputs of the model at which the growth is measured; a few are enough.
        log_dir: Folder of the TensorBoard logs; default "logs".
        every: Number of epochs between two measurements; default 1.

    Raises:
        ValueError: If `every` is not a positive integer; at the start of the training, if the model has no blocks or x
            is not an input of it.

    Example:
        >>> callbacks = [keras.callbacks.TensorBoard("logs"), StabilityMonitor(np.zeros((4, 8, 8, 1)), "logs")]
        >>> model.fit(x, y, callbacks=callbacks)  # doctest: +SKIP
    """

    def __init__(self, x, log_dir="logs", every: int = 1):
        super().__init__()
        self.x = x
        self.log_dir = log_dir
        self.every = arguments.check_positive_integer("every", every)

    def on_train_begin(self, logs=None):
        report(self.model, self.x, cheap=True)  # wrong arguments are reported before the first epoch
        self._warned = set()
        summary = optional.load("tensorboard.summary", "pde.callbacks.StabilityMonitor", "tensorboard")
        self._writer = summary.Writer(os.path.join(self.log_dir, "stability"))

    def on_epoch_end(self, epoch, logs=None):
        if (epoch + 1) % self.every or not are_finite(self.model):
            return
        rows = report(self.model, self.x, cheap=True)
        for block in dict.fromkeys(row.block for row in rows):
            steps = [row for row in rows if row.block == block]
            norm = max(max(row.norm_1, row.norm_2 or 0.0) for row in steps)
            self._writer.add_scalar(f"{block}/norm", norm, epoch)
            if ratios := [row.ratio for row in steps if row.ratio is not None]:
                self._writer.add_scalar(f"{block}/step_ratio", max(ratios), epoch)
            self._writer.add_scalar(f"{block}/growth", steps[-1].growth, epoch)
        self._writer.flush()
        for block, text in passed_limits(rows).items():
            if block not in self._warned:
                self._warned.add(block)
                warnings.warn(f"At the end of epoch {epoch + 1}: {text}", stacklevel=2)

    def on_train_end(self, logs=None):
        self._writer.close()
