"""Train networks with 3 and 12 sets of weights, and one of 12 steps with 3 sets; change the steps of the last one.

python examples/time_basis.py FASHION_MNIST.npz

All cover the time T = 3 and see the first 10,000 training images four times.
"""

import dataclasses
import sys
import tempfile
import time
from pathlib import Path

from keras_pdecnn import training
from keras_pdecnn.recipes import Recipe

import numpy as np

NETWORKS = {
    "3 plain steps": {"steps": 3},
    "12 plain steps": {"steps": 12},
    "12 steps, 3 coefficients": {"steps": 12, "time_basis": "linear", "basis_size": 3},
}
OTHER_STEPS, T, IMAGES = (3, 6, 24, 48), 3.0, 10_000

with tempfile.TemporaryDirectory() as folder:
    path = str(Path(folder, "images.npz"))
    with np.load(sys.argv[1]) as archive:
        np.savez(path, **{name: archive[name][: IMAGES if "train" in name else None] for name in archive.files})
    base = Recipe(data=path, pad=0.0, rotate=0.0, zoom=0.0, widths=(8, 16), batch_size=50)
    base = dataclasses.replace(base, learning_rates=(0.1, 0.02), epochs=(3, 1))
    dataset = training.load_data(base)

print("| network | test accuracy | weights | seconds |\n|---|---|---|---|")
for name, settings in NETWORKS.items():
    recipe = dataclasses.replace(base, **settings, step_size=T / settings["steps"])
    model = training.compile(training.build(recipe, dataset.info), recipe, dataset.steps_per_epoch)
    weights = sum(weight.shape.num_elements() for weight in model.trainable_weights)
    start = time.perf_counter()
    training.fit(model, dataset, recipe, verbose=0)
    seconds = time.perf_counter() - start
    accuracy = training.evaluate(model, dataset.test)["accuracy"]
    print(f"| {name} | {100 * accuracy:.2f} % | {weights:,} | {seconds:.0f} |", flush=True)
for steps in OTHER_STEPS:
    accuracy = training.evaluate(model.with_steps(steps), dataset.test)["accuracy"]
    print(
        f"| the last one, with_steps({steps}) | {100 * accuracy:.2f} % | {weights:,} | not trained again |", flush=True
    )
