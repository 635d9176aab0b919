"""Train a residual and a provable parabolic network on the digits, and compare what disturbances leave of them.

python examples/robustness.py [FIGURE]

For each l2 distance there is the accuracy under noise of that length, that under an attack which looks for the worst
image so near (an upper bound of what a stronger attack would leave), and the part of the images whose right prediction
is proved for all images so near (a lower bound). Distances are in raw units; pixels are from 0 to 16.
"""

import sys

import keras_pdecnn as pde

import keras
import numpy as np
from matplotlib.figure import Figure

NETWORKS = {  # of 27,922 and 27,864 weights
    "residual": {"widths": (6, 13, 23)},
    "parabolic": {"widths": (10, 22, 26), "head_width": 26, "provable": True},
}
STEPS, EPOCHS, RATE, BATCH = 2, 30, 0.005, 32
BOUNDS = 0, 16
DISTANCES = (0, 1, 2, 4, 6, 8, 12)
IN_TABLE = (2, 4, 8)  # of the distances
ATTACK_STEPS = 40
TEST_IMAGES = 360


def train(name, digits):
    """Return a trained network."""
    keras.utils.set_random_seed(0)
    settings = {"classes": digits.info.classes, "steps": STEPS, "weight_decay": 1e-4, **NETWORKS[name]}
    model = pde.models.ARCHITECTURES[name](digits.info.input_shape, **settings)
    rate = keras.optimizers.schedules.CosineDecay(RATE, EPOCHS * digits.steps_per_epoch)
    model.compile(keras.optimizers.Adam(rate), "sparse_categorical_crossentropy")
    model.fit(digits.train, epochs=EPOCHS, shuffle=False, verbose=0)
    return model


def measure(model, x, y):
    """Return {kind of disturbance: one accuracy for each distance}."""

    def right(x):
        return model.predict(x, batch_size=256, verbose=0).argmax(axis=-1) == y

    clean, radius = right(x), pde.stability.certified_radius(model, x)
    found = {"noise": [], "attack": [], "certified": []}
    for distance in DISTANCES:
        noisy, attacked = x, x
        if distance:
            noisy = pde.stability.gaussian_noise(x, distance / np.sqrt(x[0].size), bounds=BOUNDS)
            attacked = pde.stability.attack(model, x, y, distance, norm="l2", steps=ATTACK_STEPS, bounds=BOUNDS)
        withstood, certain = right(attacked) & clean, clean & (radius > distance)
        assert not np.any(certain & ~withstood)  # no certificate may be wrong
        found["noise"].append(right(noisy).mean())
        found["attack"].append(withstood.mean())
        found["certified"].append(certain.mean())
    return found


def draw(results, file):
    """Draw accuracy over distance, a network beside the other."""
    figure = Figure(figsize=(9, 3.6), dpi=120, layout="constrained")
    for axes, (name, found) in zip(figure.subplots(1, len(results), sharey=True), results.items(), strict=True):
        for (kind, values), style in zip(found.items(), ("o:", "o-", "s--"), strict=True):
            axes.plot(DISTANCES, [100 * value for value in values], style, label=kind, markersize=4)
        axes.fill_between(DISTANCES, *(np.multiply(100, found[kind]) for kind in ("certified", "attack")), alpha=0.12)
        axes.set(title=name, xlabel="l2 distance, pixels from 0 to 16", ylim=(-3, 103))
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    figure.axes[0].set_ylabel("accuracy, %")
    figure.axes[-1].legend(frameon=False)
    figure.savefig(file)


def main(file="robustness.png"):
    """Train, print a table and draw a figure."""
    digits = pde.data.load("digits", batch_size=BATCH, validation=0)
    x, y = (np.concatenate(part)[:TEST_IMAGES] for part in zip(*digits.test.as_numpy_iterator(), strict=True))
    columns = [f"{kind} {distance}" for kind in ("noise", "attack", "certified") for distance in IN_TABLE]
    print(f"| network | clean | {' | '.join(columns)} |\n" + "|---" * (len(columns) + 2) + "|")
    results = {}
    for name, settings in NETWORKS.items():
        title = f"{name}, provable" if settings.get("provable") else name
        results[title] = found = measure(train(name, digits), x.astype("float32"), y)
        values = [found["noise"][0], *(found[k][DISTANCES.index(d)] for k in found for d in IN_TABLE)]
        print(f"| {title} | {' | '.join(f'{100 * value:.1f}' for value in values)} |", flush=True)
    draw(results, file)


if __name__ == "__main__":
    main(*sys.argv[1:])
