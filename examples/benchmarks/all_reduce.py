"""How a training step over several workers splits between computing and all-reduce, and what that predicts.

`python examples/benchmarks/all_reduce.py` starts one worker, two that know nothing of each other, and then two that
train together, each on a core of this machine, and prints tables. Two workers apart are slower than one alone by what
the cores share, such as the memory; the rest is communication. `--batch` is the number of images per worker and step,
default 16. A worker is this file with `--worker`.
"""

import argparse
import itertools
import json
import os
import pathlib
import socket
import statistics
import subprocess
import sys
import tempfile
import time

SIZES = [2**k for k in (10, 14, 18, 20, 22)]  # of all-reduced float32 vectors
STEPS = 30


def main():
    """Measure, and print; or be a worker."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=16, help="images per worker and step; default 16")
    parser.add_argument("--worker", nargs=2, metavar=("CORE", "OUTPUT"), help="be a worker")
    arguments = parser.parse_args()
    if arguments.worker:
        core, output = arguments.worker
        return work(int(core), output, arguments.batch)
    compare(arguments.batch)


def compare(batch: int):
    """Measure with one worker, with two apart and with two together, and print."""
    one, apart, two = measure([1], batch), measure([1, 1], batch), measure([2], batch)
    print("| float32 numbers | all-reduce of two workers, ms |\n|---|---|")
    for size, seconds in zip(SIZES, two["reduce"], strict=True):
        print(f"| {size:,} | {1e3 * seconds:.2f} |")
    latency, per_byte = fit([4 * size for size in SIZES], two["reduce"])
    print(
        f"\nFit t = 2 (alpha + bytes / (2 beta)): alpha = {1e6 * latency:.0f} us, beta = {1e-9 / per_byte:.2f} GB/s\n"
    )
    print("| step, ms | one worker | two apart | two together | communication |\n|---|---|---|---|---|")
    for kind in ("per replica", "synchronized"):
        alone, beside, both = (measured["step"][kind] for measured in (one, apart, two))
        row = (1e3 * seconds for seconds in (alone, beside, both, both - beside))
        print(f"| {kind} | {' | '.join(f'{entry:.0f}' for entry in row)} |")
    for kind in ("per replica", "synchronized"):
        alone, both = apart["step"][kind], two["step"][kind]
        volume = 4 * one["weights"]
        rounds = max(0.0, both - alone - volume * per_byte) / (2 * latency)
        print(f"\nModel, {kind}: {rounds:.0f} collectives in a row, {volume / 1e6:.2f} MB of gradients")
        for name, alpha, beta in (("as measured", latency, 1 / per_byte), ("50 us, 10 Gbit/s", 5e-5, 1.25e9)):
            row = []
            for workers in (2, 4, 8, 16, 64):
                communication = 2 * (workers - 1) * (rounds * alpha + volume / (workers * beta))
                row.append(f"{workers}: {alone / (alone + communication):.0%}")
            print(f"  share of the step spent computing ({name}), by workers: {', '.join(row)}")


def fit(volumes, seconds):
    """Return alpha and 1 / beta of t = 2 alpha + bytes / beta, from the fastest time and the slope to the largest."""
    alpha = min(seconds) / 2
    return alpha, (seconds[-1] - 2 * alpha) / volumes[-1]


def tasks(clusters: list[int]) -> list[dict]:
    """Return the description of each worker of clusters of so many workers."""
    sockets = [socket.socket() for _ in range(sum(clusters))]
    for each in sockets:
        each.bind(("localhost", 0))
    addresses = iter([f"localhost:{each.getsockname()[1]}" for each in sockets])
    for each in sockets:
        each.close()
    found = []
    for count in clusters:
        cluster = {"worker": list(itertools.islice(addresses, count))}
        found += [{"cluster": cluster, "task": {"type": "worker", "index": index}} for index in range(count)]
    return found


def measure(clusters: list[int], batch: int) -> dict:
    """Start clusters of so many workers at the same time and return what the first worker measured."""
    with tempfile.TemporaryDirectory() as folder:
        processes = []
        for core, task in enumerate(tasks(clusters)):
            extra = {"TF_CONFIG": json.dumps(task), "TF_CPP_MIN_LOG_LEVEL": "3"}
            command = [sys.executable, __file__, "--batch", str(batch)]
            command += ["--worker", str(core), os.path.join(folder, str(core))]
            processes.append(subprocess.Popen(command, env=os.environ | extra))
        try:
            codes = [process.wait(300) for process in processes]
        finally:
            for process in processes:
                process.kill()
        if any(codes):
            raise SystemExit(f"A worker failed. Received: exit codes {codes}")
        return json.loads(pathlib.Path(folder, "0").read_text())


def work(core: int, output: str, batch: int):
    """Measure as one worker on a core."""
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[core % len(cores)]})

    import keras_pdecnn as pde

    import keras
    import numpy as np
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(2)
    strategy = pde.distribute.strategy("multiworker")
    result = {"reduce": [], "step": {}}
    for size in SIZES:

        def reduced():
            return tf.distribute.get_replica_context().all_reduce("SUM", tf.ones(size))  # noqa: B023

        run = tf.function(lambda: strategy.run(reduced))
        result["reduce"].append(median_time(run))

    rng = np.random.default_rng(0)
    batch *= strategy.num_replicas_in_sync
    x, y = rng.normal(size=((STEPS + 1) * batch, 32, 32, 3)).astype("float32"), rng.integers(0, 10, (STEPS + 1) * batch)
    for synchronized in (False, True):
        with strategy.scope():
            model = pde.models.HamiltonianCNN((32, 32, 3), classes=10, synchronized=synchronized)
            model.compile(keras.optimizers.SGD(0.01, 0.9), "sparse_categorical_crossentropy", metrics=["accuracy"])
        clock = Clock()
        model.fit(x, y, batch_size=batch, shuffle=False, verbose=0, callbacks=[clock.callback])
        result["step"]["synchronized" if synchronized else "per replica"] = clock.median()
        result["weights"] = sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)
    pde.distribute.from_chief(strategy, lambda: pathlib.Path(output).write_text(json.dumps(result)))


class Clock:
    """Times the steps of a training."""

    def __init__(self):
        import keras

        self.ends = []
        record = lambda batch, logs: self.ends.append((float(logs["loss"]), time.perf_counter())[1])  # noqa: E731
        self.callback = keras.callbacks.LambdaCallback(on_train_batch_end=record)

    def median(self):
        """Return the median time from the end of a step to the end of the next, without the first ones."""
        ends = self.ends[3:]
        return statistics.median(b - a for a, b in itertools.pairwise(ends))


def median_time(run, repetitions=30):
    """Return the median time of a call, after some that are not counted."""
    times = []
    for _ in range(repetitions + 5):
        start = time.perf_counter()
        run().numpy()
        times.append(time.perf_counter() - start)
    return statistics.median(times[5:])


if __name__ == "__main__":
    main()
