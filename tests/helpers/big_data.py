"""Makes the two large data sets of the measurements of streaming, from photographs, by random crops.

    python tests/helpers/big_data.py FOLDER [--photographs cifar10.npz] [--small 200000] [--large 20000]

FOLDER/tfds/pde_crops64 is a data set of TensorFlow Datasets in TFRecord shards: images of 64 x 64 pixels, ten classes.
FOLDER/crops is a folder of JPEG files of 256 to 512 pixels, twenty classes. The class says from which part of which
photograph, or from a photograph of which class, an image is a crop. Nothing is downloaded.
"""

import argparse
import io
import pathlib

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image
from sklearn.datasets import load_sample_images


class PdeCrops64(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """Crops of photographs of 64 x 64 pixels."""

    VERSION = tfds.core.Version("1.0.0")

    def __init__(self, photographs, labels, count, **settings):
        self.photographs, self.labels, self.count = photographs, labels, count
        super().__init__(**settings)

    def _info(self):
        image = tfds.features.Image(shape=(64, 64, 3), encoding_format="jpeg")
        features = tfds.features.FeaturesDict({"image": image, "label": tfds.features.ClassLabel(num_classes=10)})
        return tfds.core.DatasetInfo(builder=self, features=features, supervised_keys=("image", "label"))

    def _split_generators(self, _):
        test = self.count // 20
        return {"train": self._generate_examples(0, self.count - test), "test": self._generate_examples(1, test)}

    def _generate_examples(self, seed, count):
        rng = np.random.default_rng(seed)
        for key in range(count):
            index = int(rng.integers(len(self.photographs)))
            image = crop(Image.fromarray(self.photographs[index]), rng, 24, 32).resize((64, 64), 2)
            yield key, {"image": encoded(image, 90), "label": int(self.labels[index])}


def crop(image, rng, least, most):
    """Return a random square of an image, its side from `least` to `most` pixels."""
    side = int(rng.integers(least, most + 1))
    left, top = (int(rng.integers(size - side + 1)) for size in image.size)
    return image.crop((left, top, left + side, top + side))


def encoded(image, quality):
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    file.seek(0)
    return file


def photographs(path):
    """Return images and labels: those of an .npz file, or squares of the photographs of scikit-learn."""
    if path:
        with np.load(path) as archive:
            keys = ("x_train", "y_train") if "x_train" in archive else ("x", "y")
            return archive[keys[0]], np.ravel(archive[keys[1]])
    rng = np.random.default_rng(0)
    images = [Image.fromarray(image) for image in load_sample_images().images]
    labels = rng.integers(0, 10, 20_000)
    return np.stack([np.asarray(crop(images[n % 2], rng, 32, 320).resize((32, 32), 2)) for n in labels]), labels


def write_folder(folder, count, classes=20):
    """Write crops of the photographs of scikit-learn as files of 256 to 512 pixels; a class is a tenth of one."""
    rng = np.random.default_rng(2)
    images = [Image.fromarray(image).resize((1280, 854), 2) for image in load_sample_images().images]
    for index in range(count):
        label = index % classes
        image = images[label % 2]
        width, height = (int(n) for n in rng.integers(256, 513, 2))
        place = (image.width - width) * (label // 2) / (classes // 2)
        left = int(place + rng.uniform(0, (image.width - width) / (classes // 2)))
        top = int(rng.integers(image.height - height + 1))
        path = folder / f"class{label:02d}" / f"{index:06d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        image.crop((left, top, left + width, top + height)).save(path, quality=85)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--photographs")
    parser.add_argument("--small", type=int, default=200_000)
    parser.add_argument("--large", type=int, default=20_000)
    given = parser.parse_args()
    if given.large:
        write_folder(given.folder / "crops", given.large)
    if given.small:
        builder = PdeCrops64(*photographs(given.photographs), given.small, data_dir=given.folder / "tfds")
        builder.download_and_prepare(download_config=tfds.download.DownloadConfig(try_download_gcs=False))


if __name__ == "__main__":
    main()
