"""An image per image."""

from __future__ import annotations

import dataclasses
from types import MappingProxyType
from typing import Any

import numpy as np

from keras_pdecnn.tasks.segmentation import Segmentation, check_unet, unet_of
from keras_pdecnn.tasks.task import Targets, Task, as_array

_LEAST_SSIM = 11  # pixels along each axis


@dataclasses.dataclass(frozen=True)
class Restoration(Task):
    """An image for each image: a noisy one becomes clean, a blurred one sharp, an incomplete one whole.

    Targets are images of the shape of the examples; or the examples themselves, which a `Degradation` then makes worse
    on the fly. The network is a U-Net for examples of any size, which adds a correction to its input. It takes and
    returns raw pixels, and works inside with these divided by the value of white.
    """

    name = "restoration"
    label = "restoration"
    of_pixels = True
    partner = "targets"
    needs_targets = False
    improves_input = True
    augmentation = ("flip", "pad", "rotate", "zoom")
    monitor = "psnr"
    monitor_title = "Peak signal-to-noise ratio in dB"
    shown = 4
    quantity = "value"
    exported = "values"
    defaults = MappingProxyType(
        {
            **Segmentation.defaults,
            **{"gain": 0.0, "noise": 0.0, "cutout": 0.0, "time_mask": 0.0, "frequency_mask": 0.0, "mask_colors": None},
        }
    )

    def check_pixels(self, recipe):
        check_unet(self, recipe)

    def check_targets(self, parts, shapes, names, where) -> Targets:
        arrays = {}
        for part, y in parts.items():
            array = as_array(y, f"{where}: {part}")
            if array.ndim == len(shapes[part]) - 1 and shapes[part][-1] == 1:
                array = array[..., np.newaxis]
            if array.shape != shapes[part]:
                raise ValueError(
                    f"{where}: {part} must have the shape of the examples, {shapes[part]}; where there are no such "
                    f"targets, a degradation makes examples from them. Received: shape={array.shape}"
                )
            arrays[part] = array
        channels = next(iter(shapes.values()))[-1]
        return Targets(arrays, channels, tuple(map(str, range(channels))))

    def build(self, network, recipe, info):
        shape = info.input_shape
        if not recipe.provable:
            shape = (*[None] * (len(shape) - 1), shape[-1])
        elif recipe.patch is not None and np.any(np.less(recipe.patch, shape[:-1])):
            raise ValueError(
                "A provable network is trained on whole images, as its bound is that of one size. "
                f"Received: patch={recipe.patch!r}, provable=True and images of {shape[:-1]}"
            )
        settings = {**self.network_settings(recipe), "restoration": True, "max_value": info.max_value}
        return unet_of(network, recipe)(shape, **settings)

    def loss(self, recipe, info):
        from keras_pdecnn import losses

        return losses.ScaledSquaredError(info.max_value)

    def metrics(self, recipe, info) -> list:
        import keras

        from keras_pdecnn import metrics

        chosen: list = [metrics.PSNR(info.max_value), keras.metrics.RootMeanSquaredError(name="rmse")]
        space = info.input_shape[:-1]
        seen = (*space, *(recipe.patch if isinstance(recipe.patch, tuple) else (recipe.patch or space[0],)))
        if len(space) == 2 and min(seen) >= _LEAST_SSIM:
            chosen.append(metrics.SSIM(info.max_value))
        return chosen

    def report(self, results) -> str:
        similarity = f", SSIM {results['ssim']:.4f}" if "ssim" in results else ""
        before = f" (before: {results['psnr_before']:.2f} dB)" if "psnr_before" in results else ""
        return (
            f"PSNR: {results['psnr']:.2f} dB{before}{similarity}, root of the mean squared error "
            f"{results['rmse']:.4g}, loss {results['loss']:.5f}"
        )

    def draw(self, x, targets, outputs, results, info) -> dict[str, Any]:
        from keras_pdecnn import plotting

        return {"predictions": plotting.restoration(x, targets, outputs, info.max_value)}
