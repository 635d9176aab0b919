"""What a run leaves."""

from __future__ import annotations

import dataclasses

from keras_pdecnn import models
from keras_pdecnn.runs import RunFolder


@dataclasses.dataclass(frozen=True)
class Result:
    """What a run leaves.

    Args:
        folder: The `runs.RunFolder`.
        model: The trained model.
        metrics: What metrics.json holds.
    """

    folder: RunFolder
    model: models.PDEModel
    metrics: dict
