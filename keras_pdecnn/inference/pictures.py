"""Writing predictions of every pixel as images."""

from __future__ import annotations

import pathlib

import numpy as np

from keras_pdecnn.inference.classifier import Classifier
from keras_pdecnn.inference.prediction import Outputs

_PALETTE = 256  # largest number of classes of a PNG file with a palette


class Pictures:
    """A folder of predictions, one file for each example.

    Classes of pixels are written as PNG files whose pixels are the numbers of the classes, with a palette to look at;
    restored images of one or three channels as PNG files of 8 bits. Signals, volumes and everything else are written as
    .npy files.

    Args:
        folder: Path of the folder, which must be empty or not exist.
        classifier: The network.

    Raises:
        ValueError: If there is anything in the folder, or it cannot be made.
    """

    def __init__(self, folder, classifier: Classifier):
        self.folder, self.classifier = pathlib.Path(folder).expanduser(), classifier
        if self.folder.exists() and (not self.folder.is_dir() or any(self.folder.iterdir())):
            raise ValueError(f"The folder of predictions must be empty or not exist. Received: {str(folder)!r}")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ValueError(
                f"The folder of predictions cannot be made ({error}). Received: {str(folder)!r}"
            ) from error

    def write(self, outputs: Outputs) -> pathlib.Path:
        """Write the prediction for an example; return the path of its file, which has the name of the example."""
        values, image = outputs.values, None
        if self.classifier.task == "segmentation":
            values = values.argmax(axis=-1)
            values = values.astype(np.uint8 if values.max(initial=0) < _PALETTE else np.int32)
            image = self._to_mask(values) if values.ndim == 2 and values.dtype == np.uint8 else None
        elif values.ndim == 3 and values.shape[-1] in (1, 3):
            image = self._to_image(values)
        stem = pathlib.Path(outputs.file).stem + ("" if outputs.index is None else f"-{outputs.index}")
        path = self._vacant(stem, ".npy" if image is None else ".png")
        if image is None:
            np.save(path, values)
        else:
            image.save(path)
        return path

    def _vacant(self, stem: str, suffix: str) -> pathlib.Path:
        path, count = self.folder / (stem + suffix), 1
        while path.exists():
            count += 1
            path = self.folder / f"{stem}-{count}{suffix}"
        return path

    def _to_mask(self, classes: np.ndarray):
        from PIL import Image

        from keras_pdecnn import plotting

        image = Image.fromarray(classes)
        colors = plotting.class_colors(len(self.classifier.class_names))
        if self.classifier.mask_colors is not None:
            colors = np.array([list(bytes.fromhex(color)) for color in self.classifier.mask_colors], np.uint8)
        image.putpalette(colors.ravel().tolist())
        return image

    def _to_image(self, values: np.ndarray):
        from PIL import Image

        pixels = np.clip(np.round(values * (255 / self.classifier.max_value)), 0, 255).astype(np.uint8)
        return Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
