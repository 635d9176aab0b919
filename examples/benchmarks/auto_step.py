"""Time a training step with step_size="auto" against one with a number, at the paper's CIFAR-10 sizes, as a table.

python examples/benchmarks/auto_step.py [number of repetitions, default 9]
"""

import statistics
import sys
import time

from keras_pdecnn import models

import keras
import numpy as np

repetitions = int(sys.argv[1]) if len(sys.argv) > 1 else 9
keras.utils.set_random_seed(0)
x = np.random.default_rng(0).standard_normal((125, 32, 32, 3), "float32")
labels = np.random.default_rng(0).integers(0, 10, 125)
print("| network | normalisation | fixed, s | auto, s | auto / fixed |\n|---|---|---|---|---|")
for architecture, normalization in [
    ("ParabolicCNN", "tv"),
    ("ParabolicCNN", "shrinkage"),
    ("HamiltonianCNN", "tv"),
]:
    networks = []
    for step_size in (1.0, "auto"):
        model = getattr(models, architecture)(
            *((32, 32, 3), 10), step_size=step_size, normalization=normalization, include_preprocessing=False
        )
        model.compile(keras.optimizers.SGD(0.01, momentum=0.9), "sparse_categorical_crossentropy")
        networks.append(model)
    times = [[], []]
    for i in range(3 + repetitions):
        for model, of_model in zip(networks, times, strict=True):
            start = time.perf_counter()
            model.train_on_batch(x, labels)
            if i >= 3:
                of_model.append(time.perf_counter() - start)
    fixed, auto = map(statistics.median, times)
    ratio = statistics.median(b / a for a, b in zip(*times, strict=True))
    print(f"| {architecture} | {normalization} | {fixed:.3f} | {auto:.3f} | {ratio:.3f} |", flush=True)
