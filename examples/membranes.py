"""Find cell membranes in electron microscopy with U-Nets of blocks, and with a plain one of the same size.

    python examples/membranes.py --data FILE.npz [--networks NAME …] [--batches 1000] [--folder FOLDER]

FILE.npz has images 0 … 255 as `x_train` and `x_test`, (n, height, width, 1), and a class for each of their pixels as
`y_train` and `y_test`; the ISBI 2012 challenge has such images of nerve tissue, with the classes membrane and cell. The
networks train on patches that are turned and mirrored at random, and predict whole images. Rare classes weigh more in
the loss. Training stops after a fixed number of batches: no test image is looked at before. "Turned" is the mean of the
predictions for the eight turned and mirrored copies of an image. What is trained stays in the folder; the same command
again trains only what is missing. The table is printed and written to the folder, with a picture.
"""

import argparse
import itertools
import json
import pathlib
import time

import keras
import numpy as np
from matplotlib.figure import Figure

import keras_pdecnn as pde

WIDTHS = (16, 32, 64)
STEPS = {"parabolic": 2, "hamiltonian": 4, "second_order": 2, "residual": 1}  # of equal numbers of weights
PLAIN_WIDTHS = (16, 33, 66)
PATCH, BATCHES, BATCH, RATE = 128, 1000, 4, 2e-3
POWER = 0.25  # of the inverse share of a class, its weight in the loss


def plain(input_shape, classes):
    """Return the usual U-Net: two 3x3 convolutions with batch normalisation and ReLU on each grid."""

    def convolve(y, width):
        for _ in range(2):
            y = keras.layers.Conv2D(width, 3, padding="same", use_bias=False, kernel_initializer="he_normal")(y)
            y = keras.layers.ReLU()(keras.layers.BatchNormalization(momentum=0.9)(y))
        return y

    inputs = keras.Input(input_shape)
    y, skips = pde.layers.Standardization()(inputs), []
    for level in range(2):
        y = convolve(y, PLAIN_WIDTHS[level])
        skips.append(y)
        y = keras.layers.MaxPooling2D()(y)
    y = convolve(y, PLAIN_WIDTHS[2])
    for level in (1, 0):
        y = keras.layers.Concatenate()([keras.layers.UpSampling2D()(y), skips[level]])
        y = convolve(y, PLAIN_WIDTHS[level])
    return keras.Model(inputs, keras.layers.Conv2D(classes, 1, activation="softmax")(y), name="plain")


def build(name, input_shape, classes):
    """Return the network of this name for images of any size (the plain one needs sizes that 4 divides)."""
    if name == "plain":
        return plain(input_shape, classes)
    settings = {"widths": WIDTHS, "steps": STEPS[name], "output_activation": "softmax"}
    return pde.models.UNETS[name](input_shape, classes, **settings)


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
        size = min(PATCH, *self.x.shape[1:3])
        top, left = (rng.integers(n - size + 1) for n in self.x.shape[1:3])
        turns, mirrored = rng.integers(4), rng.random() < 0.5
        patches = (part[number, top : top + size, left : left + size] for part in (self.x, self.y))
        patches = (np.rot90(patch[:, ::-1] if mirrored else patch, turns) for patch in patches)
        return tuple(patches)


def scores(classes, y, number):
    """Return the mean intersection over union, that of each class, and the accuracy of the pixels."""
    counts = np.bincount((number * y.astype(int) + classes).ravel(), minlength=number**2).reshape(number, number)
    both = np.diag(counts)
    shares = both / (counts.sum(0) + counts.sum(1) - both)
    return {"mean": shares.mean(), "each": shares, "accuracy": both.sum() / counts.sum()}


def predict(model, images, turned=False):
    """Return the probabilities of the classes, also as the mean over the turned and mirrored copies of the images."""
    total = 0
    for turns, step in itertools.product(range(4), (1, -1)) if turned else [(0, 1)]:
        copies = np.rot90(images[:, :, ::step], turns, axes=(1, 2)).astype("float32")
        probabilities = model.predict(np.ascontiguousarray(copies), batch_size=1, verbose=0)
        total += np.rot90(probabilities, -turns, axes=(1, 2))[:, :, ::step]
    return total / (8 if turned else 1)


def train(name, data, seed, batches):
    """Return a trained network, and the seconds that its training took."""
    x, y, number = data["x_train"], data["y_train"], int(data["y_train"].max()) + 1
    shares = np.bincount(y.ravel(), minlength=number) / y.size
    weights = (number * shares) ** -POWER  # between equal pixels, 0, and equal classes, 1
    keras.utils.set_random_seed(seed)
    model = build(name, (None, None, x.shape[-1]), number)
    rate = keras.optimizers.schedules.CosineDecay(RATE, batches)
    model.compile(keras.optimizers.Adam(rate), "sparse_categorical_crossentropy", jit_compile=False)
    start = time.monotonic()
    model.fit(Patches(x, y, weights, seed, batches), epochs=1, shuffle=False, verbose=2)
    return model, time.monotonic() - start


def draw(data, predictions):
    """Return a figure: the first test image, its classes, those of each network and where they are wrong."""
    image, truth = data["x_test"][0, ..., 0], data["y_test"][0]
    panels = {"image": image, "classes": truth}
    for name, classes in predictions.items():
        panels |= {name: classes[0], f"{name}: wrong": classes[0] != truth}
    figure = Figure(figsize=(3 * len(panels), 3.3), dpi=100, layout="constrained")
    for axis, (title, panel) in zip(figure.subplots(1, len(panels)), panels.items(), strict=True):
        axis.imshow(panel, cmap="gray")
        axis.set_title(title)
        axis.set_axis_off()
    return figure


def trained(name, data, seed, batches, folder):
    """Return the network of the folder, trained unless it is there, and the seconds that its training took."""
    path = folder / f"{name}-{seed}.keras"
    facts = path.with_suffix(".json")
    if facts.exists():
        return keras.models.load_model(path, compile=False), json.loads(facts.read_text())["seconds"]
    model, seconds = train(name, data, seed, batches)
    model.save(path)
    facts.write_text(json.dumps({"seconds": seconds}))
    return model, seconds


def main(data, names, seeds, folder, batches=BATCHES):
    """Train and evaluate the networks, and write table.md and membranes.png into the folder."""
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with np.load(data) as file:
        data = {name: file[name] for name in ("x_train", "y_train", "x_test", "y_test")}
    number, predictions = int(data["y_train"].max()) + 1, {}
    lines = ["| network | weights | mean IoU | IoU of each class | pixel accuracy | mean IoU, turned | training in s |"]
    lines.append("|---|---|---|---|---|---|---|")
    for name in names:
        results = []
        for seed in seeds:
            model, seconds = trained(name, data, seed, batches, folder)
            classes, turned = (predict(model, data["x_test"], way).argmax(axis=-1) for way in (False, True))
            predictions.setdefault(name, classes)
            mean_turned = scores(turned, data["y_test"], number)["mean"]
            results.append({**scores(classes, data["y_test"], number), "turned": mean_turned, "seconds": seconds})
        mean = {key: np.mean([row[key] for row in results], axis=0) for key in results[0]}
        spread = f" ± {np.std([row['mean'] for row in results]):.3f}" if len(seeds) > 1 else ""
        size = sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)
        each = ", ".join(f"{share:.3f}" for share in mean["each"])
        cells = [name, f"{size:,}", f"{mean['mean']:.3f}{spread}", each]
        cells += [f"{mean['accuracy']:.3f}", f"{mean['turned']:.3f}", f"{mean['seconds']:.0f}"]
        lines.append(f"| {' | '.join(cells)} |")
        print(lines[-1], flush=True)
    draw(data, predictions).savefig(folder / "membranes.png")
    text = "\n".join(lines)
    (folder / "table.md").write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", required=True, help="File .npz with x_train, y_train, x_test and y_test.")
    every = [*STEPS, "plain"]
    parser.add_argument("--networks", nargs="+", default=every, choices=every, help="U-Nets, four of blocks.")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], help="Seeds of weights and patches.")
    parser.add_argument("--batches", type=int, default=BATCHES, help=f"Batches of {BATCH} patches for training.")
    parser.add_argument("--folder", default="membranes", help="Folder of networks, table and picture.")
    given = parser.parse_args()
    main(given.data, given.networks, given.seeds, given.folder, given.batches)
