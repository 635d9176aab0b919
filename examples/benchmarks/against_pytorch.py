"""Compare a training step with PyTorch on the CPU: `python examples/benchmarks/against_pytorch.py`.

Two tables, in Markdown: reversible blocks against memcnn and revlib, and the paper's CIFAR-10 Hamiltonian network
against the same network in PyTorch, eager and compiled. Every figure comes from a fresh process; the contenders take
turns, and the medians of all rounds are shown. PyTorch gets an environment of its own, made in ENVIRONMENT when it is
not there; the package does not depend on it. Nothing else should run meanwhile: a comparison takes 10 to 20 minutes.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import venv

ENVIRONMENT = pathlib.Path(__file__).parent / ".venv-torch"
TORCH = "torch==2.13.0"
WORKER = pathlib.Path(__file__).with_name("torch_worker.py")
STEPS = (16, 64)
LAYOUTS = {"": True, ", contiguous": False}


def torch_python() -> str:
    """Return the interpreter of the environment with PyTorch, made first if need be."""
    python = ENVIRONMENT / "bin" / "python"
    if not python.exists():
        venv.create(ENVIRONMENT, with_pip=True)
        install = [python, "-m", "pip", "install", "-q"]
        subprocess.run([*install, TORCH, "numpy"], check=True)
        subprocess.run([*install, "--no-deps", "memcnn", "revlib"], check=True)
    return str(python)


def couplings(steps):
    """The same convolutions: two of 3x3 per shear on half of the channels, ReLU between them, no normalisation."""
    ours = {"block": "HamiltonianBlock", "backprop": "reversible", "normalization": None, "use_bias": False}
    yield "keras_pdecnn", package("block", {**ours, "steps": steps})
    for case in ("revlib", "memcnn"):
        for suffix, channels_last in LAYOUTS.items():
            yield f"{case}{suffix}", torch({"case": case, "steps": steps, "channels_last": channels_last})


def networks():
    for backprop in ("stored", "reversible"):
        yield f"keras_pdecnn, {backprop}", package("network", {"backprop": backprop})
    yield "PyTorch, compiled", torch({"case": "network", "compiled": True})
    yield "PyTorch, eager", torch({"case": "network", "compiled": False})


def package(module, settings):
    return [sys.executable, "-m", f"keras_pdecnn.benchmarks.{module}", json.dumps(settings)]


def torch(settings):
    return [torch_python(), str(WORKER), json.dumps(settings)]


def compare(contenders, rounds):
    """Return the rows of every contender, one per round, taking turns."""
    rows = {name: [] for name, _ in contenders}
    for i in range(rounds):
        for name, command in contenders:
            print(f"round {i + 1} of {rounds}: {name}", file=sys.stderr)
            environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
            run = subprocess.run(command, check=False, env=environment, text=True, capture_output=True)
            if run.returncode:
                sys.exit(f"{name} failed:\n{run.stderr}")
            rows[name].append(json.loads(run.stdout.splitlines()[-1]))
    return rows


def table(rows, amount, unit):
    """Print medians: seconds per step, amount per second, peak memory, and how much faster the first row is."""
    print(f"| | seconds per step (all rounds) | {unit} per second | peak memory, MB | first row is faster by |")
    print("|---|---|---|---|---|")
    first = None
    for name, runs in rows.items():
        seconds = [run["step_s"] for run in runs]
        median = statistics.median(seconds)
        first = first or median
        peak = statistics.median(run["peak_bytes"] for run in runs) / 1e6
        spread = f"{median:.3f} ({min(seconds):.3f} to {max(seconds):.3f})"
        print(f"| {name} | {spread} | {amount / median:.2f} | {peak:.0f} | {median / first:.2f} |")
    print(flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", choices=("couplings", "networks"))
    arguments = parser.parse_args()
    if arguments.only != "networks":
        for steps in STEPS:
            print(f"Reversible blocks, {steps} steps, batch 8, 64x64, 32 channels\n")
            table(compare(list(couplings(steps)), arguments.rounds), 1, "steps of training")
    if arguments.only != "couplings":
        print("The CIFAR-10 Hamiltonian network, 264,106 weights, batch 125\n")
        table(compare(list(networks()), arguments.rounds), 125, "images")


if __name__ == "__main__":
    main()
