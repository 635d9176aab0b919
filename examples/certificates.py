"""Train networks of equal size and print their accuracy, clean, under noise and attack, and certified, as Markdown.

python examples/certificates.py RESULTS.jsonl [--data fashion_mnist.npz] [--seeds 0 1 2] [--networks residual …]

Every network and seed that is done is a line of RESULTS.jsonl, and is not done again: several calls, one after the
other or side by side on different networks, share the work. The table has what the file holds for the data set.
All radii and deviations are in units where pixels are in [0, 1]; for images of 32 x 32 pixels, the radii are those that
are usual for CIFAR-10. "margins" are provable networks with a loss that asks for margins, one step size per filter and
orthogonal connectors.
"""

import argparse
import json
import pathlib
import time

import keras_pdecnn as pde

import keras
import numpy as np

CLASSES, BATCH, LEARNING_RATE, WEIGHT_DECAY = 10, 125, 0.005, 1e-4
NOISE = (0.1, 0.2)
RADII = {28: (0.1, 0.25, 0.5), 8: (0.1, 0.25, 0.5), 32: (36 / 255, 72 / 255, 108 / 255)}  # of attacks and certificates
# Margin and temperature of the loss of "margins", whose logits have the Lipschitz constant 1.
MARGINS = {28: (1.5, 0.25), 8: (1.5, 0.25), 32: (3.0, 0.5)}
ATTACKED, ATTACK_STEPS = 500, 20  # images of the test part, projected gradient steps

# Widths and width before the classifier: 27,842 to 27,922 weights, for both sizes of image.
PLAIN = {
    "residual": (6, 13, 23),
    "parabolic": (12, 22, 28),
    "hamiltonian": (14, 22, 44),
    "second_order": (12, 22, 28),
}
PROVABLE = {
    28: {"parabolic": ((8, 16, 22), 22), "hamiltonian": ((10, 18, 32), 22), "second_order": ((8, 16, 22), 22)},
    8: {"parabolic": ((10, 22, 26), 26), "hamiltonian": ((14, 26, 36), 36), "second_order": ((10, 22, 26), 26)},
    32: {"parabolic": ((32, 64, 96), 96), "hamiltonian": ((44, 88, 128), 96), "second_order": ((32, 64, 96), 96)},
}
OPENING = {32: 28}  # width of the opening, behind which a connector halves the image
EPOCHS = {28: 5, 8: 30, 32: 34}
HELD_BACK = {28: 0.5, 8: 0.0, 32: 0.0}  # of the training images: half of them are enough for Fashion-MNIST
RANGE = {28: 255.0, 8: 16.0, 32: 255.0}  # pixels are integers from 0 to this
NETWORKS = [*PLAIN, *(f"{name}, {kind}" for kind in ("provable", "margins") for name in PROVABLE[28])]


def build(network, shape):
    """Return an untrained network."""
    name, _, kind = network.partition(", ")
    settings = {"classes": CLASSES, "steps": 2, "weight_decay": WEIGHT_DECAY}
    if kind:
        widths, head = PROVABLE[shape[0]][name]
        settings["opening_width"] = OPENING.get(shape[0])
        if kind == "margins":
            settings |= {"step_size": "per_filter", "orthogonal": True, "lipschitz": 1.0}
        return pde.models.ARCHITECTURES[name](shape, widths=widths, head_width=head, provable=True, **settings)
    return pde.models.ARCHITECTURES[name](shape, widths=PLAIN[name], **settings)


def measure(network, source, seed):
    """Train a network and return its row."""
    side = pde.data.load(source).info.input_shape[0]
    small = side == 8
    dataset = pde.data.load(
        source,
        batch_size=32 if small else BATCH,
        validation=HELD_BACK[side],
        augmentation=pde.data.Augmentation(flip=True, pad=1 / 16) if side == 32 else None,
        seed=seed,
    )
    keras.utils.set_random_seed(seed)
    model, epochs, top = build(network, dataset.info.input_shape), EPOCHS[side], RANGE[side]
    rate = keras.optimizers.schedules.CosineDecay(LEARNING_RATE, epochs * dataset.steps_per_epoch)
    loss = pde.losses.MarginCrossEntropy(*MARGINS[side]) if network.endswith("margins") else None
    model.compile(keras.optimizers.Adam(rate), loss or "sparse_categorical_crossentropy", metrics=["accuracy"])
    start = time.perf_counter()
    model.fit(dataset.epochs(), steps_per_epoch=dataset.steps_per_epoch, epochs=epochs, shuffle=False, verbose=0)
    seconds = time.perf_counter() - start

    x, y = (np.concatenate(part) for part in zip(*dataset.test.as_numpy_iterator(), strict=True))
    x = x.astype("float32")

    def right(x, y=y):
        return model.predict(x, batch_size=250, verbose=0).argmax(axis=-1) == y

    clean, radius = right(x), pde.stability.certified_radius(model, x) / top
    bounds = [bound.upper for bound in pde.stability.layer_bounds(model)]
    row = {
        "data": pathlib.Path(source).stem,
        "network": network,
        "seed": seed,
        "weights": sum(int(np.prod(weight.shape)) for weight in model.trainable_weights),
        "seconds": round(seconds),
        "lipschitz": float(np.prod(bounds[:-1])),
        "clean": float(clean.mean()),
        "radius": float(np.median(radius[clean])),
    }
    for deviation in NOISE:
        noisy = pde.stability.gaussian_noise(x, top * deviation, bounds=(0, top), seed=seed)
        row[f"noise {deviation}"] = float(right(noisy).mean())
    # The test parts are shuffled or in no order, so the first images are as good as any.
    some = x[:ATTACKED], y[:ATTACKED]
    for epsilon in RADII[side]:
        attacked = pde.stability.attack(model, *some, top * epsilon, steps=ATTACK_STEPS, bounds=(0, top), seed=seed)
        withstood = right(attacked, some[1]) & clean[:ATTACKED]
        row[f"attack {epsilon:.3g}"] = float(withstood.mean())
        # No certificate may be wrong, whatever was found.
        assert not np.any(clean[:ATTACKED] & (radius[:ATTACKED] > epsilon * (1 + 1e-6)) & ~right(attacked, some[1]))
    for epsilon in RADII[side]:
        row[f"certified {epsilon:.3g}"] = float((clean & (radius >= epsilon)).mean())
    return row


def table(rows):
    """Return means over the seeds, and for clean accuracy the smallest and largest, as Markdown."""
    columns = ["clean", *(name for name in rows[0] if name.split(" ")[0] in ("noise", "attack", "certified"))]
    lines = ["| network | weights | seeds | " + " | ".join(columns) + " |", "|---" * (len(columns) + 3) + "|"]
    for network in NETWORKS:
        found = [row for row in rows if row["network"] == network]
        if not found:
            continue
        cells = [f"{100 * np.mean([row[name] for row in found]):.1f}" for name in columns]
        clean = [100 * row["clean"] for row in found]
        cells[0] += f" ({min(clean):.1f}–{max(clean):.1f})"
        lines.append(f"| {network} | {found[0]['weights']:,} | {len(found)} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=pathlib.Path)
    parser.add_argument("--data", default="digits")
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2])
    parser.add_argument("--networks", nargs="*", default=NETWORKS, choices=NETWORKS)
    given = parser.parse_args()
    for seed in given.seeds:
        for network in given.networks:
            lines = given.results.read_text().splitlines() if given.results.exists() else []
            rows = [json.loads(line) for line in lines]
            key = (pathlib.Path(given.data).stem, network, seed)
            if key not in [(row["data"], row["network"], row["seed"]) for row in rows]:
                row = measure(network, given.data, seed)
                with given.results.open("a") as file:
                    file.write(json.dumps(row) + "\n")
    rows = [json.loads(line) for line in given.results.read_text().splitlines()]
    print(table([row for row in rows if row["data"] == pathlib.Path(given.data).stem]))
