"""The result of a run."""

from __future__ import annotations

import dataclasses

from keras_pdecnn import models
from keras_pdecnn.runs import RunFolder


@dataclasses.dataclass(frozen=True)
class Result:
    """The result of a run.

    Args:
        folder: The `runs.RunFolder`.
        model: The trained model.
        metrics: Content of metrics.json.
    """

    folder: RunFolder
    model: models.PDEModel
    metrics: dict
