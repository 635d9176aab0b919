"""Find cell membranes in electron microscopy with U-Nets of blocks, and with a plain one of the same size.

    python examples/membranes.py --data FILE.npz [--networks NAME …] [--batches 3000] [--folder …]

FILE.npz has images 0 … 255 as `x_train` and `x_test`, (n, height, width, 1), and a class for each of their pixels as
`y_train` and `y_test`; the ISBI 2012 challenge has such images of nerve tissue, with the classes membrane and cell. The
networks train on patches that are turned and mirrored at random, and predict whole images. Rare classes weigh more in
the loss. Training stops after a fixed number of batches: no test image is looked at before. "Turned" is the mean of the
predictions for the eight turned and mirrored copies of an image. What is trained stays in the folder; the same command
again trains only what is missing. The table is printed and written to the folder, with a picture.

Volumes, (n, depth, height, width, 1), are mirrored along each axis and not turned: `examples/brain.py` writes some.
"""

import functools
import itertools
import pathlib

import keras_pdecnn as pde
from keras_pdecnn.tasks.segmentation import intersection_over_union

from networks_compared import label, mean_of, options, plain_unet, trained, unet, weights_of, write_table

import keras
import numpy as np
from matplotlib.figure import Figure

WIDTHS = (16, 32, 64, 128)
PATCH = {2: 128, 3: 32}  # size along each of the axes of an image or a volume
BATCHES, BATCH, RATE = 3000, 4, 2e-3
POWER = 0.25  # of the inverse share of a class, its weight in the loss


def plain(input_shape, classes, widths, standardize):
    """Return the usual U-Net."""
    inputs = keras.Input(input_shape)
    y = plain_unet(pde.layers.Standardization()(inputs) if standardize else inputs, widths)
    convolution = getattr(keras.layers, f"Conv{len(input_shape) - 1}D")
    return keras.Model(inputs, convolution(classes, 1, activation="softmax")(y), name="plain")


def plain_widths(weights, widths, channels, classes, axes):
    """Return multiples of the widths with which the plain U-Net has about as many weights."""

    def count(widths):
        down = zip((channels, *widths[:-1]), widths, strict=True)
        up = ((fine + coarse, fine) for fine, coarse in itertools.pairwise(widths))
        convolutions = sum(3**axes * (before + width) * width + 4 * width for before, width in (*down, *up))
        return convolutions + (widths[0] + 1) * classes

    multiples = ([round(factor * width) for width in widths] for factor in np.linspace(0.5, 2, 1501))
    return min(multiples, key=lambda widths: abs(count(widths) - weights))


def build(name, input_shape, classes, widths=WIDTHS, seed=0, standardize=True):
    """Return the network of this name for images of any size, with random weights from the seed.

    The plain one needs sizes that can be halved for every width but the first.
    """
    if name == "plain":
        weights = weights_of(build("residual", input_shape, classes, widths))
        widths = plain_widths(weights, widths, input_shape[-1], classes, axes=len(input_shape) - 1)
        keras.utils.set_random_seed(seed)
        return plain(input_shape, classes, widths, standardize)
    keras.utils.set_random_seed(seed)
    settings = {"widths": widths, "output_activation": "softmax", "include_preprocessing": standardize}
    return unet(name, input_shape, classes, **settings)


def turn(x, axes, turns, mirrored, back=False):
    """Return an array turned and mirrored in the plane of two axes, or the reverse; or mirrored along some of three."""
    if len(axes) == 3:
        return np.flip(x, tuple(itertools.compress(axes, (turns & 1, turns & 2, mirrored))))
    if back:
        x = np.rot90(x, -turns, axes)
    x = np.flip(x, axes[1]) if mirrored else x
    return x if back else np.rot90(x, turns, axes)


class Patches(keras.utils.PyDataset):
    """Batches of patches, turned and mirrored at random: (images, classes, weights)."""

    def __init__(self, x, y, weights, seed, batches):
        super().__init__()
        self.x, self.y, self.weights, self.seed, self.batches = x, y, weights.astype("float32"), seed, batches

    def __len__(self):
        return self.batches

    def __getitem__(self, index):
        rng = np.random.default_rng([self.seed, index])
        pairs = [self._draw(rng) for _ in range(BATCH)]
        x, y = (np.stack(part) for part in zip(*pairs, strict=True))
        return x.astype("float32"), y, self.weights[y]

    def _draw(self, rng):
        number = rng.integers(len(self.x))
        space = self.x.shape[1:-1]
        size = min(PATCH[len(space)], *space)
        corner = [rng.integers(n - size + 1) for n in space]
        patch = (number, *(slice(first, first + size) for first in corner))
        turns, mirrored = rng.integers(4), rng.random() < 0.5
        return tuple(turn(part[patch], tuple(range(len(space))), turns, mirrored) for part in (self.x, self.y))


def scores(classes, y, number):
    """Return the mean intersection over union, that of each class, and the accuracy of the pixels."""
    counts = np.bincount((number * y.astype(int) + classes).ravel(), minlength=number**2).reshape(number, number)
    each = intersection_over_union(counts)
    return {"mean": np.nanmean(each), "each": each, "accuracy": np.trace(counts) / counts.sum()}


def predict(model, images, turned=False):
    """Return the probabilities of the classes, also as the mean over the turned and mirrored copies of the images."""
    total, axes = 0, tuple(range(1, images.ndim - 1))
    for turns, mirrored in itertools.product(range(4), (False, True)) if turned else [(0, False)]:
        copies = turn(images, axes, turns, mirrored).astype("float32")
        probabilities = model.predict(np.ascontiguousarray(copies), batch_size=1, verbose=0)
        total += turn(probabilities, axes, turns, mirrored, back=True)
    return total / (8 if turned else 1)


def for_volumes(build, x):
    """Return the network of a function after one that standardises all volumes x alike.

    Patches, each standardised for itself, would lose what is bright and what is dark in a volume.
    """
    mean, deviation = float(x.mean()), float(x.std())
    return keras.Sequential([keras.layers.Rescaling(1 / deviation, -mean / deviation), build()])


def network(name, data, file, seed, folder, batches, widths, rate):
    """Return the trained network of the folder, trained unless it is there, and the seconds that this took."""
    x, y, number = data["x_train"], data["y_train"], int(data["y_train"].max()) + 1
    shares = np.bincount(y.ravel(), minlength=number) / y.size
    weights = (number * shares) ** -POWER  # between equal pixels, 0, and equal classes, 1
    axes = x.ndim - 2
    shape = (*axes * [None], x.shape[-1])
    built = functools.partial(build, name, shape, number, widths, seed, standardize=axes == 2)
    if axes == 3:
        built = functools.partial(for_volumes, built, x)
    drawn, loss = Patches(x, y, weights, seed, batches), "sparse_categorical_crossentropy"
    settings = {"data": pathlib.Path(file).name, "widths": list(widths)}
    return trained(folder / f"{name}-{seed}.keras", built, drawn, loss, seed, rate, **settings)


def draw(data, predictions):
    """Return a figure: the first test image, its classes, those of each network and where they are wrong."""
    image, truth = data["x_test"][0, ..., 0], data["y_test"][0]
    panels = {"image": image, "classes": truth}
    for name, classes in predictions.items():
        panels |= {name: classes[0], f"{name}: wrong": classes[0] != truth}
    figure = Figure(figsize=(3 * len(panels), 3.3), dpi=100, layout="constrained")
    for axis, (title, panel) in zip(figure.subplots(1, len(panels)), panels.items(), strict=True):
        axis.imshow(panel[len(panel) // 2] if panel.ndim == 3 else panel, cmap="gray")
        axis.set_title(title)
        axis.set_axis_off()
    return figure


def main(file, names, seeds, folder, batches=BATCHES, widths=WIDTHS, rate=RATE):
    """Train and evaluate the networks, and write table.md and membranes.png into the folder."""
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with np.load(file) as arrays:
        data = {name: arrays[name] for name in ("x_train", "y_train", "x_test", "y_test")}
    number, predictions, rows = int(data["y_train"].max()) + 1, {}, []
    for name in names:
        results = []
        for seed in seeds:
            model, seconds = network(name, data, file, seed, folder, batches, widths, rate)
            classes, turned = (predict(model, data["x_test"], way).argmax(axis=-1) for way in (False, True))
            predictions.setdefault(label(name), classes)
            mean_turned = scores(turned, data["y_test"], number)["mean"]
            results.append({**scores(classes, data["y_test"], number), "turned": mean_turned, "seconds": seconds})
        mean = {key: np.mean([row[key] for row in results], axis=0) for key in results[0]}
        each = ", ".join(f"{share:.3f}" for share in mean["each"])
        cells = [label(name), f"{weights_of(model):,}", mean_of([row["mean"] for row in results], 3), each]
        rows.append([*cells, f"{mean['accuracy']:.3f}", f"{mean['turned']:.3f}", f"{mean['seconds']:.0f}"])
        print(label(name), rows[-1][2], flush=True)
    draw(data, predictions).savefig(folder / "membranes.png")
    columns = "mean IoU", "IoU of each class", "pixel accuracy", "mean IoU, turned", "training in s"
    write_table(folder, ["network", "weights", *columns], rows)


if __name__ == "__main__":
    parser = options(__doc__, BATCHES, "membranes", RATE)
    parser.add_argument("--data", required=True, help="File .npz with x_train, y_train, x_test and y_test.")
    parser.add_argument("--widths", type=int, nargs="+", default=WIDTHS, help="Widths on each grid, the finest first.")
    given = parser.parse_args()
    main(given.data, given.networks, given.seeds, given.folder, given.batches, given.widths, given.rate)
