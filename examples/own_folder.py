"""Train on images of your own: a folder with one sub-folder for each class, and sizes that differ.

python examples/own_folder.py [FOLDER]

Without FOLDER a small one is made first: photographs of no more than stripes and rings, in PNG files.
"""

import pathlib
import sys
import tempfile

import keras_pdecnn as pde

import keras
import numpy as np
from PIL import Image

SIZE = (24, 32)  # height and width that all images are brought to
WIDTHS = (8, 16)
EPOCHS = 8
SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp")
IMAGES = 60  # of each class, if they are made


def make_images(folder):
    """Write images of two classes, of many sizes, with noise."""
    rng = np.random.default_rng(0)
    for name in ("stripes", "rings"):
        path = pathlib.Path(folder, name)
        path.mkdir(parents=True)
        for index in range(IMAGES):
            height, width = rng.integers(24, 48, 2)
            y, x = np.mgrid[:height, :width] - rng.uniform(8, 16, (2, 1, 1))
            distance = x if name == "stripes" else np.hypot(x, y)
            wave = 110 + 60 * np.sin(distance * rng.uniform(0.7, 1.1)) + rng.normal(0, 25, (height, width))
            colours = wave[..., None] * rng.uniform(0.7, 1, 3)
            Image.fromarray(np.clip(colours, 0, 255).astype("uint8")).save(path / f"{index:03d}.png")


def train(folder):
    """Train on a folder of images; return the network, the data and the accuracy on images not trained on."""
    photos = pde.data.load(folder, batch_size=16, size=SIZE, augmentation=pde.data.Augmentation(pad=1 / 16))
    model = pde.models.ParabolicCNN(photos.info.input_shape, photos.info.classes, widths=WIDTHS, weight_decay=5e-4)
    optimizer = keras.optimizers.SGD(0.05, momentum=0.9)
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(photos.train, validation_data=photos.validation, epochs=EPOCHS, shuffle=False, verbose=2)
    return model, photos, model.evaluate(photos.test, verbose=0, return_dict=True)["accuracy"]


def main(folder=None):
    """Train, and classify one image."""
    keras.utils.set_random_seed(0)
    with tempfile.TemporaryDirectory() as made:
        if folder is None:
            make_images(folder := made)
        model, photos, accuracy = train(folder)
        print(f"{photos.info.name}: {photos.info.sizes}, {', '.join(photos.info.class_names)}")
        print(f"Accuracy on the {photos.info.sizes['test']} test images: {100 * accuracy:.1f} %")
        file = next(file for file in sorted(pathlib.Path(folder).rglob("*")) if file.suffix.lower() in SUFFIXES)
        image = pde.data.read_image(file, photos.info.input_shape)
        probabilities = model.predict(image[None], verbose=0)[0]
        print(f"{file.parent.name}/{file.name}: {photos.info.class_names[probabilities.argmax()]}")


if __name__ == "__main__":
    main(*sys.argv[1:])
