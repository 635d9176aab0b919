"""Several labels per example, each of which applies or does not."""

from __future__ import annotations

import dataclasses
from types import MappingProxyType
from typing import Any

import numpy as np

from keras_pdecnn.tasks.task import AUGMENTATION, OF_EXAMPLES, UNMIXED, Targets, Task, output_names, vectors


@dataclasses.dataclass(frozen=True)
class MultiLabel(Task):
    """Labels of which any number apply to an example, such as the objects in a photograph.

    Targets are rows of 0 and 1 of shape (n, labels). The network ends with the sigmoid of one output per label.
    """

    name = "multi_label"
    label = "multi-label classification"
    augmentation = tuple(name for name in AUGMENTATION if name not in ("mixup", "cutmix"))
    monitor = "auc"
    monitor_title = "AUC, mean of the labels"
    shown = 8
    quantity = "probability"
    exported = "values"
    defaults = MappingProxyType({**UNMIXED, **OF_EXAMPLES})

    def check_targets(self, parts, shapes, names, where) -> Targets:
        arrays = vectors(parts, shapes, where, "(n, labels), of 0 and 1")
        for part, y in arrays.items():
            wrong = ~((y == 0) | (y == 1)).all(axis=1)
            if wrong.any():
                index = int(np.argmax(wrong))
                raise ValueError(
                    f"{where}: {part} must hold 0 and 1, one number per label. "
                    f"Received: {y[index].tolist()} in example {index}"
                )
        count = next(iter(arrays.values())).shape[1]
        arrays = {part: y.astype(np.float32) for part, y in arrays.items()}
        return Targets(arrays, count, output_names(names, count, where))

    def build(self, network, recipe, info):
        settings = self.network_settings(recipe)
        return network.builder(info.input_shape, classes=info.classes, classifier_activation="sigmoid", **settings)

    def loss(self, recipe, info):
        import keras

        return keras.losses.BinaryCrossentropy()

    def metrics(self, recipe, info) -> list:
        import keras

        from keras_pdecnn import metrics

        return [metrics.LogitAUC(info.classes), keras.metrics.BinaryAccuracy(name="label_accuracy")]

    def report(self, results) -> str:
        return (
            f"AUC: {results['auc']:.4f}, {100 * results['label_accuracy']:.2f} % of the labels are right, "
            f"loss {results['loss']:.4f}"
        )

    def draw(self, x, targets, outputs, results, info) -> dict[str, Any]:
        from keras_pdecnn import plotting

        return {"predictions": plotting.label_predictions(x, targets, outputs, info.class_names)}
