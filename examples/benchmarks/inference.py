"""Images per second of the paper's CIFAR-10 Hamiltonian network on the CPU: `python examples/benchmarks/inference.py`.

The exports of this package in each precision, `model(x)` under tf.function, and the same network in PyTorch, eager and
compiled (see `against_pytorch.py` for its environment). "Convolutions alone" is a SavedModel of the same network
without normalisations, biases and activations, which shows what is left to gain. Every contender is a process of its
own that lives throughout; they take turns, one burst of predictions each. The median call of each burst counts, and the
table has the median of these, the 50th and the 99th percentile of all calls, the bytes on the disk, and the seconds
from the start of the process to the first prediction of one image. Every contender must agree with the model, to 1e-5
in float32. Nothing else should run meanwhile: it takes 5 to 10 minutes.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

from against_pytorch import WORKER, torch_python

BURSTS = {1: 60, 8: 20, 125: 3}  # batch: calls
OURS = {  # name: format and settings of the export
    "SavedModel": ("savedmodel", {}),
    "SavedModel, jit_compile": ("savedmodel", {"jit_compile": True}),
    "SavedModel, bfloat16": ("savedmodel", {"precision": "bfloat16"}),
    "SavedModel, bfloat16, jit_compile": ("savedmodel", {"precision": "bfloat16", "jit_compile": True}),
    "LiteRT": ("litert", {}),
    "LiteRT, int8": ("litert", {"precision": "int8"}),
    "ONNX Runtime": ("onnx", {}),
    "tf.function": ("model", {}),
    "Convolutions alone": ("savedmodel", {}),
    "Convolutions alone, bfloat16": ("savedmodel", {"precision": "bfloat16"}),
}
TORCH = {
    "PyTorch, eager": {"compiled": False},
    "PyTorch, compiled": {"compiled": True},
    "PyTorch, compiled, bfloat16": {"compiled": True, "bfloat16": True},
}
SUFFIX = {"savedmodel": "", "litert": ".tflite", "onnx": ".onnx", "model": ".keras"}
THREADS = len(os.sched_getaffinity(0))


def export(folder):
    """Write the network in every form, images and what the model says of them."""
    import keras_pdecnn as pde

    import numpy as np

    model = pde.models.HamiltonianCNN((32, 32, 3), classes=10, weights="cifar10")
    bare = {"normalization": None, "use_bias": False, "activation": "linear"}
    convolutions = pde.models.HamiltonianCNN((32, 32, 3), classes=10, **bare)
    for name, (kind, settings) in OURS.items():
        if kind == "model":
            model.save(path_of(folder, name))
        else:
            network = convolutions if name.startswith("Convolutions") else model
            getattr(pde.export, kind)(network, path_of(folder, name), **settings)
    x = np.random.default_rng(0).uniform(0, 255, (max(BURSTS), 32, 32, 3)).astype("float32")
    np.savez(folder / "images.npz", x=x, expected=model.predict(x, batch_size=len(x), verbose=0))


def path_of(folder, name):
    """Return the path of a form of the network."""
    return folder / f"{name.replace(', ', '-')}{SUFFIX[OURS[name][0]]}"


def predictor(kind, path):
    """Return a function from images to probabilities that needs only what this form of the network needs."""
    if kind == "litert":
        return litert(path)
    if kind == "onnx":
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = THREADS
        session = onnxruntime.InferenceSession(str(path), options)
        names = [output.name for output in session.get_outputs()]
        place, entry = names.index("probabilities"), session.get_inputs()[0].name
        return lambda x: session.run(None, {entry: x})[place]
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(THREADS)
    if kind == "model":
        import keras_pdecnn as pde

        model = pde.models.load_model(path, compile=False)
        compiled = tf.function(lambda x: model(x, training=False))
        return lambda x: compiled(tf.constant(x)).numpy()
    version = next(path.glob("*/saved_model.pb")).parent
    signature = tf.saved_model.load(str(version)).signatures["serving_default"]
    return lambda x: signature(image=tf.constant(x))["probabilities"].numpy()


def litert(path):
    """Return the predictor of a LiteRT file, with an interpreter for each size of a batch."""
    from ai_edge_litert.interpreter import Interpreter

    interpreters = {}

    def predict(x):
        if len(x) not in interpreters:
            interpreter = Interpreter(str(path), num_threads=THREADS)
            interpreter.resize_tensor_input(interpreter.get_input_details()[0]["index"], x.shape)
            interpreter.allocate_tensors()
            interpreters[len(x)] = interpreter
        interpreter = interpreters[len(x)]
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], x)
        interpreter.invoke()
        output = next(entry for entry in interpreter.get_output_details() if len(entry["shape"]) == 2)
        return interpreter.get_tensor(output["index"])

    return predict


def serve(folder, name):
    """Answer requests, one per line, as the worker of PyTorch does."""
    import numpy as np

    with np.load(folder / "images.npz") as archive:
        x, expected = archive["x"], archive["expected"]
    kind, settings = OURS[name]
    predict = predictor(kind, path_of(folder, name))
    gap = float(np.abs(predict(x) - expected).max())
    assert "precision" in settings or name.startswith("Convolutions") or gap < 1e-5, gap
    for line in sys.stdin:
        request = json.loads(line)
        seconds = []
        for _ in range(request["calls"]):
            start = time.perf_counter()
            predict(x[: request["batch"]])
            seconds.append(time.perf_counter() - start)
        print(json.dumps(seconds), flush=True)


def start(command):
    """Start a contender."""
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, env=environment, text=True)


def ask(process, **request):
    """Return the seconds of the calls of a burst."""
    process.stdin.write(json.dumps(request) + "\n")
    process.stdin.flush()
    while not (line := process.stdout.readline()).startswith("["):
        if not line:
            sys.exit(f"A contender has ended: {process.args}")
    return json.loads(line)


def begin(folder, with_torch):
    """Return {name: process} and {name: seconds to the first prediction}, started one after the other."""
    commands = {name: [sys.executable, __file__, "--serve", str(folder), name] for name in OURS}
    if with_torch:
        for name, settings in TORCH.items():
            request = json.dumps({"case": "inference", "threads": THREADS, **settings})
            commands[name] = [torch_python(), str(WORKER), request]
    processes, seconds = {}, {}
    for name, command in commands.items():
        began = time.perf_counter()
        processes[name] = start(command)
        ask(processes[name], batch=1, calls=1)
        seconds[name] = time.perf_counter() - began
    return processes, seconds


def megabytes(folder, name):
    """Return the size of what is served, as a cell of the table."""
    if name not in OURS:
        return "-"
    path = path_of(folder, name)
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return f"{sum(file.stat().st_size for file in files) / 1e6:.2f}"


def main():
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9, help="bursts of each contender that count; default 9")
    parser.add_argument("--serve", nargs=2, metavar=("FOLDER", "NAME"), help="be a contender")
    parser.add_argument("--without-torch", action="store_true", help="only this package")
    arguments = parser.parse_args()
    if arguments.serve:
        folder, name = arguments.serve
        return serve(pathlib.Path(folder), name)
    with tempfile.TemporaryDirectory() as folder:
        compare(pathlib.Path(folder), not arguments.without_torch, arguments.rounds)


def compare(folder, with_torch, rounds):
    """Export, measure and print."""
    export(folder)
    processes, beginnings = begin(folder, with_torch)
    print("| | batch | images per second | all rounds | p50 in ms | p99 in ms | MB | start in s |")
    print("|---|---|---|---|---|---|---|---|")
    for batch, calls in BURSTS.items():
        bursts = {name: [] for name in processes}
        for i in range(rounds + 1):
            order = list(processes.items())
            for name, process in order[i % len(order) :] + order[: i % len(order)]:
                burst = ask(process, batch=batch, calls=calls)
                if i:  # the first is for warming up, and for compiling
                    bursts[name].append(burst)
        for name, lists in bursts.items():
            times = [statistics.median(burst) for burst in lists]
            every = sorted(second for burst in lists for second in burst)
            percentiles = [1000 * every[min(len(every) - 1, int(share * len(every)))] for share in (0.5, 0.99)]
            cells = [name, batch, f"{batch / statistics.median(times):.0f}"]
            cells += [f"{batch / max(times):.0f} to {batch / min(times):.0f}"]
            cells += [*(f"{value:.2f}" for value in percentiles), megabytes(folder, name), f"{beginnings[name]:.1f}"]
            print(f"| {' | '.join(map(str, cells))} |", flush=True)
    for process in processes.values():
        process.stdin.close()
        process.wait(timeout=60)


if __name__ == "__main__":
    main()
