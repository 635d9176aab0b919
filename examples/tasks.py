"""Train networks for a number, for several labels and for one of two classes on the digits of scikit-learn.

    python examples/tasks.py [--architecture hamiltonian] [--folder tasks]

* regression: digits are turned by up to 60 degrees, and the network says by how many;
* multi_label: two digits stand side by side, and the network says which of the ten digits are there;
* binary: the network says whether a digit is even or odd, a classification with two classes.

Test examples are made of digits that were not trained on. A folder of each run, with pictures, is left.
"""

import argparse
import pathlib

import keras_pdecnn as pde

import numpy as np
from scipy import ndimage
from sklearn.datasets import load_digits

ANGLE = 60.0  # degrees
TRAIN, TEST, EPOCHS = 4000, 1000, 10
SETTINGS = {"widths": (16, 32), "steps": 2, "batch_size": 64, "optimizer": "adamw", "schedule": "cosine"}
SETTINGS |= {"learning_rates": 4e-3, "pad": 0.0, "rotate": 0.0, "zoom": 0.0, "validation": 0.1, "recalibrate": True}


def halves():
    """Return images and digits to train on and to test on."""
    digits = load_digits()
    order = np.random.default_rng(0).permutation(len(digits.target))
    return [(digits.images[rows], digits.target[rows]) for rows in (order[:1400], order[1400:])]


def turned(images, digits, count, rng):
    """Return digits at twice the resolution, turned at random, and their angles in degrees."""
    rows, angles = rng.integers(len(images), size=count), rng.uniform(-ANGLE, ANGLE, count)
    turns = zip(ndimage.zoom(images[rows], (1, 2, 2), order=1), angles, strict=True)
    x = [ndimage.rotate(image, angle, reshape=False, order=1) for image, angle in turns]
    return np.stack(x).astype("float32")[..., None], angles.astype("float32")


def beside(images, digits, count, rng):
    """Return pairs of digits side by side, and which of the ten digits are there."""
    rows = rng.integers(len(images), size=(count, 2))
    x = np.concatenate([images[rows[:, 0]], images[rows[:, 1]]], axis=2)
    present = np.zeros((count, 10), int)
    for digit in digits[rows].T:
        present[np.arange(count), digit] = 1
    return x.astype("float32")[..., None], present


def parity(images, digits, count, rng):
    """Return digits, and whether they are odd."""
    rows = rng.permutation(len(images))[:count]
    return images[rows].astype("float32")[..., None], digits[rows] % 2


DATA = {
    "regression": ("regression", turned, ["angle"]),
    "multi_label": ("multi_label", beside, [str(digit) for digit in range(10)]),
    "binary": ("classification", parity, ["even", "odd"]),
}


def main(architecture, folder):
    """Train the three networks, and return what is said of each."""
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    lines = []
    for name, (task, make, class_names) in DATA.items():
        sizes = enumerate(zip(halves(), (TRAIN, TEST), strict=True))
        parts = [make(*half, count, np.random.default_rng(seed)) for seed, (half, count) in sizes]
        (x_train, y_train), (x_test, y_test) = parts
        path = str(folder / f"{name}.npz")
        np.savez(path, x_train=x_train, y_train=y_train, x_test=x_test, y_test=y_test, class_names=class_names)
        recipe = pde.recipes.for_source(path, "digits", architecture, task).with_settings(**SETTINGS, epochs=EPOCHS)
        result = pde.training.run(recipe, folder / name, verbose=2)
        report = pde.tasks.TASKS[task].report(result.metrics)
        lines.append(
            f"{name}: {report} ({result.metrics['trainable_weights']:,} weights, {result.metrics['seconds']:.0f} s)"
        )
        print(lines[-1], flush=True)
    return lines


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--architecture", default="hamiltonian", choices=list(pde.models.NETWORKS), help="Network.")
    parser.add_argument("--folder", default="tasks", help="Folder of the data and of the runs.")
    given = parser.parse_args()
    main(given.architecture, given.folder)
