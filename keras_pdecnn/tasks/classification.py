"""One class per example, two classes (a binary classification) or more."""

from __future__ import annotations

import dataclasses
from types import MappingProxyType
from typing import Any

from keras_pdecnn.tasks.task import OF_EXAMPLES, Targets, Task


@dataclasses.dataclass(frozen=True)
class Classification(Task):
    """A class for each example; a binary classification is one with two classes.

    Targets are integers, names or one-hot rows, which `data.load` turns into integers. The network ends with the
    softmax of one output per class, or without softmax for the loss "least_squares".
    """

    name = "classification"
    label = "classification"
    has_labels = True
    monitor = "accuracy"
    monitor_title = "Accuracy"
    in_percent = True
    quantity = "probability"
    defaults = MappingProxyType(OF_EXAMPLES)

    def check_recipe(self, recipe):
        self.check_pixels(recipe)

    def check_targets(self, parts, shapes, names, where) -> Targets:
        raise NotImplementedError("The labels of classes are checked by `data.checks`.")

    def network_settings(self, recipe) -> dict[str, Any]:
        activation = "softmax" if recipe.has_probabilities else None
        return {**super().network_settings(recipe), "classifier_activation": activation}

    def build(self, network, recipe, info):
        return network.builder(info.input_shape, classes=info.classes, **self.network_settings(recipe))

    def loss(self, recipe, info=None):
        from keras_pdecnn import losses

        smoothed = recipe.label_smoothing or recipe.mixes
        return losses.CrossEntropy(recipe.label_smoothing) if smoothed else self.label_loss(recipe)

    def label_loss(self, recipe):
        """Return the loss of a recipe for integer labels, without the smoothing of labels."""
        import keras

        from keras_pdecnn import losses

        margin = recipe.lipschitz if recipe.margin is None else recipe.margin
        temperature = recipe.lipschitz / 4 if recipe.temperature is None else recipe.temperature
        if recipe.loss == "margin_hinge":
            return losses.MarginHinge(margin)
        if recipe.loss in ("margin", "margin_adaptive"):
            return losses.MarginCrossEntropy(margin, temperature, adaptive=recipe.loss == "margin_adaptive")
        if recipe.loss == "least_squares":
            return losses.LeastSquares()
        return keras.losses.SparseCategoricalCrossentropy()

    def metrics(self, recipe, info=None) -> list:
        import keras

        # The labels of mixed examples are probabilities, and Keras chooses the kind by the labels that it is given. But
        # it then makes the metric within the first step, which TensorFlow traces once more without new variables.
        return ["accuracy"] if recipe.mixes else [keras.metrics.SparseCategoricalAccuracy(name="accuracy")]

    def report(self, results) -> str:
        count = sum(map(sum, results["confusion_matrix"]))
        right = sum(row[index] for index, row in enumerate(results["confusion_matrix"]))
        return f"accuracy: {100 * results['accuracy']:.2f} % ({right} of {count}), loss {results['loss']:.4f}"

    def draw(self, x, targets, outputs, results, info) -> dict[str, Any]:
        from keras_pdecnn import plotting

        probabilities = results.get("quantity", self.quantity) == "probability"
        return {
            "confusion_matrix": plotting.confusion_matrix(results["confusion_matrix"], info.class_names),
            "predictions": plotting.predictions(x, targets, outputs, info.class_names, probabilities=probabilities),
        }
