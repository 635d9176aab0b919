"""Train every network on the digits with several seeds and print test accuracies and seconds as a table.

python examples/digits_seeds.py [number of seeds, default 5] [network …, default all]
"""

import sys
import time

from keras_pdecnn import training
from keras_pdecnn.models import ARCHITECTURES
from keras_pdecnn.recipes import Recipe

import numpy as np

seeds = range(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
print("| network | " + " | ".join(f"seed {seed}" for seed in seeds) + " | mean | seconds |")
print("|---|" + "---|" * (len(seeds) + 2))
for architecture in sys.argv[2:] or ARCHITECTURES:
    accuracies, seconds = [], []
    for seed in seeds:
        recipe = Recipe(architecture=architecture, seed=seed)
        dataset = training.load_data(recipe)
        model = training.compile(training.build(recipe, dataset.info), recipe, dataset.steps_per_epoch)
        start = time.perf_counter()
        training.fit(model, dataset, recipe, verbose=0)
        seconds.append(time.perf_counter() - start)
        accuracies.append(100 * training.evaluate(model, dataset.test)["accuracy"])
    cells = [f"{accuracy:.2f}" for accuracy in [*accuracies, np.mean(accuracies)]]
    print(f"| {architecture} | {' | '.join(cells)} | {np.mean(seconds):.0f} |", flush=True)
