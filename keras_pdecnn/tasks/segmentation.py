"""A class per pixel."""

from __future__ import annotations

import dataclasses
from types import MappingProxyType
from typing import Any

import numpy as np

from keras_pdecnn.tasks.task import UNMIXED, Targets, Task, as_array, output_names


def intersection_over_union(counts: np.ndarray) -> np.ndarray:
    """Return the intersection over union of each class; NaN for a class that no pixel has or gets.

    Args:
        counts: Array of shape (classes, classes); counts[i, j] pixels of class i are predicted as class j.
    """
    both = np.diag(counts)
    union = counts.sum(axis=0) + counts.sum(axis=1) - both
    return np.divide(both, union, out=np.full(len(both), np.nan), where=union > 0)


@dataclasses.dataclass(frozen=True)
class Segmentation(Task):
    """A class for each pixel of an image, each sample of a signal or each voxel of a volume.

    Targets are integers of shape (n, *space). The network is a U-Net for examples of any size, with the softmax of one
    output per class.
    """

    name = "segmentation"
    label = "segmentation"
    of_pixels = True
    partner = "masks"
    augmentation = ("flip", "pad", "rotate", "zoom", "gain", "noise", "cutout", "time_mask", "frequency_mask")
    monitor = "mean_iou"
    monitor_title = "Mean intersection over union"
    shown = 4
    quantity = "probability"
    exported = "classes"
    defaults = MappingProxyType(
        {
            **UNMIXED,
            **{"time_shift": 0.0, "rand_augment": 0, "rotate": 0.0, "zoom": 0.0, "pad": 0.0, "crop": None},
            **{"head_width": None, "spectrogram": None, "spectrogram_step": None, "opening_kernel_size": 3},
            **{"opening_stride": 1, "opening_width": None, "dropout": 0.0, "provable": False, "degradation": None},
        }
    )

    def check_recipe(self, recipe):
        super().check_recipe(recipe)
        if recipe.provable:
            raise ValueError(
                "A provable network has no softmax, which a segmentation needs. "
                f"Received: task={self.name!r}, provable=True"
            )

    def check_pixels(self, recipe):
        check_unet(self, recipe)
        if recipe.degradation is not None:
            raise ValueError(
                f"degradation is for restoration. Received: task={self.name!r}, degradation={recipe.degradation!r}"
            )

    def check_targets(self, parts, shapes, names, where) -> Targets:
        arrays = {part: _masks(y, shapes[part], f"{where}: {part}") for part, y in parts.items()}
        train = next(iter(arrays.values()))
        count = _count(train, where) if names is None else len(names)
        if count < 2:
            raise ValueError(f"{where}: a segmentation needs at least two classes. Received: classes={count}")
        for part, y in arrays.items():
            if y.max() >= count:
                index = int(np.argmax(y.reshape(len(y), -1).max(axis=1)))
                raise ValueError(
                    f"{where}: the classes of pixels must lie in 0..{count - 1}"
                    f"{', those of the training part' if names is None else ', one per name'}. "
                    f"Received: class {y.max()} in {part}, mask {index}"
                )
        kind = np.uint8 if count <= 256 else np.int32
        arrays = {part: y.astype(kind, copy=False) for part, y in arrays.items()}
        return Targets(arrays, count, output_names(names, count, where))

    def build(self, network, recipe, info):
        shape = (*[None] * (len(info.input_shape) - 1), info.input_shape[-1])
        settings = {**self.network_settings(recipe), "output_activation": "softmax"}
        return unet_of(network, recipe)(shape, info.classes, **settings)

    def loss(self, recipe, info):
        import keras

        return keras.losses.SparseCategoricalCrossentropy()

    def metrics(self, recipe, info) -> list:
        import keras

        return [
            keras.metrics.MeanIoU(info.classes, sparse_y_pred=False, name="mean_iou"),
            keras.metrics.SparseCategoricalAccuracy(name="accuracy"),
        ]

    def details(self, metrics, info) -> dict[str, Any]:
        import keras

        counts = np.asarray(keras.ops.convert_to_numpy(metrics[0].total_cm), np.float64)
        shares = intersection_over_union(counts).tolist()
        return {
            "iou": dict(zip(info.class_names, shares, strict=True)),
            "confusion_matrix": counts.astype(np.int64).tolist(),
        }

    def report(self, results) -> str:
        each = ", ".join(f"{name} {share:.4f}" for name, share in list(results["iou"].items())[:10])
        return (
            f"mean IoU: {results['mean_iou']:.4f} ({each}), {100 * results['accuracy']:.2f} % of the pixels are right, "
            f"loss {results['loss']:.4f}"
        )

    def draw(self, x, targets, outputs, results, info) -> dict[str, Any]:
        from keras_pdecnn import plotting

        classes = np.asarray(outputs).argmax(axis=-1)
        return {
            "confusion_matrix": plotting.confusion_matrix(results["confusion_matrix"], info.class_names, "pixels"),
            "predictions": plotting.segmentation(x, targets, classes, info.class_names),
        }


def check_unet(task: Task, recipe):
    """Raise ValueError if a recipe has settings that networks with outputs for every pixel lack."""
    plain = {"head_width": None, "spectrogram": None, "opening_width": None, "dropout": 0.0, "crop": None}
    for name, value in plain.items():
        if getattr(recipe, name) != value:
            raise ValueError(
                f"A network with outputs for every pixel has no {name}. "
                f"Received: task={task.name!r}, {name}={getattr(recipe, name)!r}"
            )
    for name, value in {"opening_kernel_size": 3, "opening_stride": 1}.items():
        given = getattr(recipe, name)
        if any(entry != value for entry in (given if isinstance(given, tuple) else (given,))):
            raise ValueError(
                f"The opening of a network with outputs for every pixel has {name}={value}. "
                f"Received: task={task.name!r}, {name}={given!r}"
            )


def unet_of(network, recipe):
    """Return the builder of the U-Net of a network; raise ValueError if there is none."""
    if network.unet is None:
        raise ValueError(
            "This network has no form with outputs for every pixel. "
            f"Received: architecture={recipe.architecture!r}, task={recipe.task!r}"
        )
    return network.unet


def _count(y: np.ndarray, where: str) -> int:
    """Return the number of classes of masks without names; most of them must occur."""
    count = int(y.max()) + 1
    present = np.unique(y)
    if 2 * len(present) < count:
        shown = ", ".join(map(str, present[:8])) + (", …" if len(present) > 8 else "")
        raise ValueError(
            f"{where}: the classes of pixels must be the numbers 0, 1, …, and most of them do not occur. Write others, "
            "name all classes (classes.txt beside a folder of masks, class_names in an .npz file), or give the grey "
            f"values of mask files as mask_colors, such as 000000,ffffff. Received: {shown} of 0..{count - 1}"
        )
    return count


def _masks(y, shape: tuple[int, ...], what: str) -> np.ndarray:
    """Return masks of shape (n, *space) as integers that are not negative."""
    y = as_array(y, what)
    if y.ndim == len(shape) and y.shape[-1] == 1:
        y = y[..., 0]
    if y.shape != shape[:-1]:
        raise ValueError(
            f"{what} must have a class for every pixel of the examples, shape {shape[:-1]}. Received: shape={y.shape}"
        )
    if y.dtype.kind == "b":
        y = y.astype(np.uint8)
    if y.dtype.kind not in "ui":
        raise ValueError(f"{what} must be integers, the classes of pixels. Received: dtype={y.dtype}")
    if y.dtype.kind == "i" and y.min() < 0:
        index = int(np.argmin(y.reshape(len(y), -1).min(axis=1)))
        raise ValueError(f"{what} must not be negative. Received: class {y.min()} in mask {index}")
    return y
