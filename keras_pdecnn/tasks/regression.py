"""Numbers per example."""

from __future__ import annotations

import dataclasses
from types import MappingProxyType
from typing import Any

import numpy as np

from keras_pdecnn.tasks.task import AUGMENTATION, OF_EXAMPLES, UNMIXED, Targets, Task, output_names, vectors

_LOST = 0.02  # rounding errors of targets, as a fraction of their standard deviation, that are accepted


@dataclasses.dataclass(frozen=True)
class Regression(Task):
    """One number or several for each example.

    Targets are real numbers of shape (n,) or (n, outputs). The network learns them standardised to mean 0 and standard
    deviation 1 over the training part; its last layer, a `keras.layers.Rescaling`, returns them in their own units. The
    loss is the mean squared error of the standardised numbers, so that all outputs count alike.
    """

    name = "regression"
    label = "regression"
    augmentation = tuple(name for name in AUGMENTATION if name not in ("mixup", "cutmix"))
    monitor = "r2"
    monitor_title = "R²"
    shown = 1000
    quantity = "value"
    exported = "values"
    defaults = MappingProxyType(
        # Whether a number stays what it is when the image is turned or mirrored is not known.
        {**UNMIXED, **OF_EXAMPLES, "flip": False, "rotate": 0.0, "zoom": 0.0, "pad": 0.0, "rand_augment": 0}
    )

    def check_targets(self, parts, shapes, names, where) -> Targets:
        arrays = vectors(parts, shapes, where, "(n,) or (n, outputs)")
        for part, y in arrays.items():
            finite = np.isfinite(y).all(axis=1)
            if not finite.all():
                raise ValueError(
                    f"{where}: {part} must be finite. Received: NaN or infinite numbers in example {np.argmin(finite)}"
                )
        train = np.asarray(next(iter(arrays.values())), np.float64)
        mean, deviation = train.mean(axis=0), train.std(axis=0)
        constant = train.min(axis=0) == train.max(axis=0)  # then rounding makes the deviation a little more than 0
        deviation[constant] = 1.0
        lost = (np.abs(train.astype(np.float32) - train).max(axis=0) > _LOST * deviation) & ~constant
        if lost.any():
            output = int(np.argmax(lost))
            raise ValueError(
                f"{where}: float32, in which networks compute, does not tell the numbers of output {output} apart. "
                "Subtract something from them, such as their mean. "
                f"Received: mean={mean[output]:.6g}, standard deviation={deviation[output]:.6g}"
            )
        count = train.shape[1]
        return Targets(
            {part: y.astype(np.float32) for part, y in arrays.items()},
            count,
            output_names(names, count, where),
            mean=tuple(mean.tolist()),
            deviation=tuple(deviation.tolist()),
        )

    def build(self, network, recipe, info):
        import keras

        settings = {**self.network_settings(recipe), "classifier_activation": None}
        model = network.builder(info.input_shape, classes=info.classes, **settings)
        if info.target_mean is None:
            return model
        units = keras.layers.Rescaling(
            list(info.target_deviation), list(info.target_mean), dtype=keras.config.dtype_policy().variable_dtype,
            name="units",
        )  # fmt: skip
        return type(model)(model.inputs[0], units(model.outputs[0]), name=model.name)

    def loss(self, recipe, info):
        from keras_pdecnn import losses

        return losses.ScaledSquaredError(info.target_deviation or 1.0)

    def metrics(self, recipe, info) -> list:
        import keras

        from keras_pdecnn import metrics

        scales = info.target_mean or 0.0, info.target_deviation or 1.0
        return [metrics.StandardizedR2Score(*scales, name="r2"), keras.metrics.RootMeanSquaredError(name="rmse")]

    def report(self, results) -> str:
        return (
            f"R²: {results['r2']:.4f}, root of the mean squared error {results['rmse']:.4g}, loss {results['loss']:.4f}"
        )

    def draw(self, x, targets, outputs, results, info) -> dict[str, Any]:
        from keras_pdecnn import plotting

        return {"predictions": plotting.regression(targets, outputs, info.class_names)}
