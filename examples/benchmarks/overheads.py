"""Measure what a training costs beside its steps: `python examples/benchmarks/overheads.py`.

Two tables, in Markdown. The first compares `model.fit`, on arrays and on a `tf.data` pipeline, with a loop of the bare
step: gradient and update in one `tf.function`, on batches that are ready. They take turns in one process, and the
medians of five rounds are shown. The pipeline is not tuned, as those of the package are not, since an epoch would wait
at its end for the thread that does it. The second shows the time of the first step, which traces the network, less that
of a later one, over the number of time steps. Nothing else should run meanwhile.
"""

import statistics
import time

import keras_pdecnn as pde

import keras
import numpy as np
import tensorflow as tf

BATCH, BATCHES, ROUNDS = 125, 16, 5
WIDTHS, STEPS, SIZE = (32, 64, 112), 3, 32  # the paper's network for CIFAR-10
DEPTHS = (16, 64, 256, 1024)


def network(widths, steps, size, **settings):
    """Return a compiled Hamiltonian network."""
    model = pde.models.HamiltonianCNN((size, size, 3), 10, widths, steps=steps, **settings)
    model.compile(keras.optimizers.SGD(0.01, momentum=0.9), "sparse_categorical_crossentropy")
    return model


def examples(number, size):
    """Return random images and labels."""
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (number, size, size, 3)).astype("uint8"), rng.integers(0, 10, number)


def bare(model):
    """Return a function of a batch that takes the gradient and updates the weights, and nothing else."""
    loss = keras.losses.SparseCategoricalCrossentropy()

    @tf.function
    def step(x, y):
        with tf.GradientTape() as tape:
            value = loss(y, model(x, training=True)) + sum(model.losses)
        variables = model.trainable_variables
        model.optimizer.apply(tape.gradient(value, variables), variables)
        return value

    return step


def throughput():
    """Print images per second of fit and of the bare step."""
    x, y = examples(BATCH * BATCHES, SIZE)
    model = network(WIDTHS, STEPS, SIZE)
    step = bare(model)
    ready = [
        (tf.constant(a, "float32"), tf.constant(b))
        for a, b in zip(np.split(x, BATCHES), np.split(y, BATCHES), strict=True)
    ]
    options = tf.data.Options()
    options.autotune.enabled = False
    dataset = tf.data.Dataset.from_tensor_slices((x, y)).shuffle(len(x)).batch(BATCH).prefetch(2).with_options(options)

    def loop():
        for batch in ready:
            value = step(*batch)
        return float(value)

    ways = {
        "bare step": loop,
        "fit, arrays": lambda: model.fit(x, y, batch_size=BATCH, verbose=0),
        "fit, tf.data": lambda: model.fit(dataset, shuffle=False, verbose=0),
    }
    seconds = {name: [] for name in ways}
    for turn in range(ROUNDS + 1):
        for name, way in ways.items():
            start = time.perf_counter()
            way()
            if turn:  # the first one traces
                seconds[name].append(time.perf_counter() - start)
    first = statistics.median(seconds["bare step"])
    print("| | images per second | of the bare step |\n|---|---|---|")
    for name, times in seconds.items():
        median = statistics.median(times)
        print(f"| {name} | {len(x) / median:.0f} | {100 * first / median:.1f} % |")


def tracing():
    """Print the time of the first step less that of a later one."""
    x, y = examples(2, 8)
    network((4,), 1, 8).fit(x, y, verbose=0)
    print("\n| time steps | tracing, s |\n|---|---|")
    for depth in DEPTHS:
        excess = []
        for _ in range(3):
            model, seconds = network((4,), depth, 8, step_size=1 / depth), []
            for _ in range(3):
                start = time.perf_counter()
                model.train_on_batch(x, y)
                seconds.append(time.perf_counter() - start)
            excess.append(seconds[0] - min(seconds[1:]))
        print(f"| {depth} | {statistics.median(excess):.2f} |", flush=True)


if __name__ == "__main__":
    throughput()
    tracing()
