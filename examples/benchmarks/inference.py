"""Images per second of the paper's CIFAR-10 Hamiltonian network on the CPU: `python examples/benchmarks/inference.py`.

The exported SavedModel, `model(x)` under tf.function, and the same network in PyTorch, eager and compiled (see
`against_pytorch.py` for its environment). Every contender is a process that lives throughout, except that the first two
share one; they take turns, one burst of predictions each, and the median call of each burst counts. Nothing else should
run meanwhile: it takes 2 to 4 minutes.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

from against_pytorch import WORKER, torch_python

BURSTS = {1: 60, 125: 3}  # batch: calls


def serve():
    """Answer requests, one per line, as the worker of PyTorch does, for the exported model and for `model(x)`."""
    import numpy as np
    import tensorflow as tf

    import keras_pdecnn as pde

    threads = len(os.sched_getaffinity(0))
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    model = pde.models.HamiltonianCNN((32, 32, 3), classes=10)
    compiled = tf.function(lambda x: model(x, training=False))
    with tempfile.TemporaryDirectory() as folder:
        exported = tf.saved_model.load(str(pde.export.savedmodel(model, folder))).signatures["serving_default"]
    x = {
        batch: tf.constant(np.random.default_rng(0).uniform(0, 255, (batch, 32, 32, 3)), "float32") for batch in BURSTS
    }
    runs = {
        "exported": lambda x: exported(image=x)["probabilities"].numpy(),
        "tf.function": lambda x: compiled(x).numpy(),
    }
    gap = np.abs(runs["exported"](x[125]) - runs["tf.function"](x[125])).max()
    assert gap < 1e-5, gap
    for line in sys.stdin:
        request = json.loads(line)
        seconds = []
        for _ in range(request["calls"]):
            start = time.perf_counter()
            runs[request["contender"]](x[request["batch"]])
            seconds.append(time.perf_counter() - start)
        print(json.dumps(seconds), flush=True)


def start(command):
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, env=environment, text=True)


def ask(process, **request):
    process.stdin.write(json.dumps(request) + "\n")
    process.stdin.flush()
    while not (line := process.stdout.readline()).startswith("["):
        if not line:
            sys.exit(f"A contender has ended: {process.args}")
    return json.loads(line)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--serve", action="store_true", help="be a contender")
    parser.add_argument("--without-torch", action="store_true", help="only this package")
    arguments = parser.parse_args()
    if arguments.serve:
        return serve()
    ours = start([sys.executable, __file__, "--serve"])
    contenders = {name: (ours, {"contender": name}) for name in ("exported", "tf.function")}
    if not arguments.without_torch:
        for name, compiled in (("PyTorch, eager", False), ("PyTorch, compiled", True)):
            settings = json.dumps({"case": "inference", "compiled": compiled, "threads": len(os.sched_getaffinity(0))})
            contenders[name] = start([torch_python(), str(WORKER), settings]), {}
    print("| images per second | batch | median of rounds | all rounds |\n|---|---|---|---|")
    for batch, calls in BURSTS.items():
        seconds = {name: [] for name in contenders}
        for i in range(arguments.rounds + 1):
            order = list(contenders.items())
            for name, (process, request) in order[i % len(order) :] + order[: i % len(order)]:
                burst = ask(process, batch=batch, calls=calls, **request)
                if i:  # the first is for warming up, and for compiling
                    seconds[name].append(statistics.median(burst))
        for name, times in seconds.items():
            low, high = batch / max(times), batch / min(times)
            print(
                f"| {name} | {batch} | {batch / statistics.median(times):.1f} | {low:.1f} to {high:.1f} |", flush=True
            )
    for process, _ in contenders.values():
        process.stdin.close()
        process.wait(timeout=60)


if __name__ == "__main__":
    main()
