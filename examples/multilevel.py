"""Train a network of twelve steps directly, and level by level: first few steps, then more, perhaps small images first.

python examples/multilevel.py FASHION_MNIST.npz [seed …]

Every way sees the same 5,000 training images ten times, or once more where it says so, with one schedule of the
learning rate over all epochs. The time is that of all processors together, with the building of graphs, so that other
programs do not change it.
"""

import sys
import time

import keras_pdecnn as pde

import keras
import numpy as np

STEPS, T, WIDTHS = 12, 3.0, (8, 16)
IMAGES, EPOCHS, BATCH, RATE = 5_000, 10, 50, 0.05
Level = pde.training.Level
WAYS = {
    "directly": (Level(STEPS, EPOCHS),),
    "3, 6, 12 steps": pde.training.default_levels(STEPS, EPOCHS),
    "3, 6, 12 steps, one epoch more": (Level(3, 6), Level(6, 2), Level(12, 3)),
    "3, 6, 12 steps, small images first": (Level(3, 5, factor=1 / 2), Level(6, 2), Level(12, 3)),
}


def network(batches: int) -> pde.models.PDEModel:
    """Return the compiled network of the finest level, for a training of so many batches."""
    model = pde.models.HamiltonianCNN((28, 28, 1), 10, WIDTHS, steps=STEPS, step_size=T / STEPS, weight_decay=2e-4)
    rate = keras.optimizers.schedules.CosineDecay(RATE, batches)
    model.compile(keras.optimizers.SGD(rate, momentum=0.9), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def main(path: str, seeds=(0, 1, 2)):
    """Print a line for each way and seed."""
    with np.load(path) as archive:
        x, y = archive["x_train"][:IMAGES], archive["y_train"][:IMAGES]
        test = archive["x_test"], archive["y_test"]
    print("| seed | way | test accuracy | CPU seconds | of direct training |\n|---|---|---|---|---|", flush=True)
    for seed in seeds:
        direct = None
        for way, levels in WAYS.items():
            keras.utils.set_random_seed(seed)
            model = network(sum(level.epochs for level in levels) * -(-len(x) // BATCH))
            start = time.process_time()
            model, _ = pde.training.fit_levels(model, levels, x, y, batch_size=BATCH, verbose=0)
            seconds = time.process_time() - start
            direct = direct or seconds
            accuracy = model.evaluate(*test, batch_size=500, verbose=0)[1]
            row = f"| {seed} | {way} | {100 * accuracy:.2f} % | {seconds:.1f} | {seconds / direct:.2f} |"
            print(row, flush=True)
            keras.backend.clear_session()


if __name__ == "__main__":
    main(sys.argv[1], [int(seed) for seed in sys.argv[2:]] or (0, 1, 2))
