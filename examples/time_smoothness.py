"""Train a network of twelve steps with weights that may change in time at no, moderate and high cost; draw theta(t).

python examples/time_smoothness.py [digits, or a Fashion-MNIST .npz] [picture, default theta.png]

Of an .npz the first 10,000 training images are used; all images are halved to 14 x 14 pixels. A jump counts as flat
below h sqrt(tau), where the smoothed total variation is no longer proportional to it.
"""

import dataclasses
import sys
import tempfile
import time
from pathlib import Path

from keras_pdecnn import plotting, training
from keras_pdecnn.recipes import Recipe

import numpy as np

SOURCE = sys.argv[1] if len(sys.argv) > 1 else "digits"
PICTURE = sys.argv[2] if len(sys.argv) > 2 else "theta.png"
ALPHAS = {"none": 0.0, "moderate": 3e-4, "strong": 2e-3}
STEPS, H, TAU, IMAGES = 12, 0.25, 1e-3, 10_000


def small_images(path, folder) -> str:
    """Write an .npz with the first training images, two by two pixels averaged."""
    with np.load(path) as archive:
        arrays = {name: archive[name][: IMAGES if "train" in name else None] for name in archive.files}
    for name in ("x_train", "x_test"):
        arrays[name] = arrays[name].reshape(-1, 14, 2, 14, 2, 1).mean(axis=(2, 4))
    np.savez(Path(folder, "images.npz"), **arrays)
    return str(Path(folder, "images.npz"))


def describe(model) -> tuple:
    """Return the variation in time per kernel entry, the share of flat jumps, and that of the largest 5 % of jumps."""
    jumps = [np.abs(np.diff(block.theta()["kernel"], axis=0)).reshape(STEPS - 1, -1) for block in model.blocks]
    jumps = np.concatenate(jumps, axis=1)
    largest = np.sort(jumps, axis=None)[-jumps.size // 20 :]
    return jumps.sum(axis=0).mean(), np.mean(jumps < H * np.sqrt(TAU)), largest.sum() / jumps.sum()


with tempfile.TemporaryDirectory() as folder:
    recipe = Recipe(steps=STEPS, step_size=H)
    if SOURCE != "digits":
        changes = {"data": small_images(SOURCE, folder), "pad": 0.0, "rotate": 0.0, "zoom": 0.0}
        changes |= {"batch_size": 50, "learning_rates": (0.1, 0.02, 0.004), "epochs": (4, 2, 1)}
        recipe = dataclasses.replace(recipe, **changes)
    dataset, kernels = training.load_data(recipe), {}
    print("| time smoothness | alpha1 | test accuracy | variation per entry | flat | in the largest 5 % | seconds |")
    print("|---|---|---|---|---|---|---|")
    for name, alpha in ALPHAS.items():
        smooth = dataclasses.replace(recipe, time_smoothness=alpha)
        model = training.compile(training.build(smooth, dataset.info), smooth, dataset.steps_per_epoch)
        start = time.perf_counter()
        training.fit(model, dataset, smooth, verbose=0)
        seconds = time.perf_counter() - start
        accuracy = training.evaluate(model, dataset.test)["accuracy"]
        variation, flat, largest = describe(model)
        kernels[f"{name}, alpha1 = {alpha:g}"] = model.blocks[0].theta()["kernel"]
        print(
            f"| {name} | {alpha:g} | {100 * accuracy:.2f} % | {variation:.4f} | {100 * flat:.1f} % "
            f"| {100 * largest:.0f} % | {seconds:.0f} |",
            flush=True,
        )
    plotting.theta(kernels, H).savefig(PICTURE)
