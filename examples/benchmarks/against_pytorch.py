"""Compare a training step with PyTorch and JAX: `python examples/benchmarks/against_pytorch.py`.

Two tables, in Markdown: reversible blocks against memcnn and revlib, and the paper's CIFAR-10 Hamiltonian network
against the same network in plain PyTorch (eager and compiled) and, if JAX is installed, in plain JAX. Every figure
comes from a fresh process; the contenders take turns, and the medians of all rounds are shown. Each runs on the first
GPU if its framework has one, and on the CPU otherwise. `--backends tensorflow,jax,torch` measures the package under
several backends of Keras. PyTorch, memcnn and revlib are taken from the running environment if they are there,
otherwise from an environment of their own in ENVIRONMENT, which is made when it is missing (PyTorch for the CPU).
Nothing else should run meanwhile: a comparison takes 10 to 20 minutes. `--quick` takes a few: its small sizes only show
that everything runs.
"""

import argparse
import importlib.util
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
JAX_WORKER = pathlib.Path(__file__).with_name("jax_worker.py")
STEPS = (16, 64)
LAYOUTS = {"": True, ", contiguous": False}


def torch_python() -> str:
    """Return an interpreter with PyTorch, memcnn and revlib: this one, or that of an environment, made if need be."""
    if all(importlib.util.find_spec(name) for name in ("torch", "memcnn", "revlib")):
        return sys.executable
    python = ENVIRONMENT / "bin" / "python"
    if not python.exists():
        venv.create(ENVIRONMENT, with_pip=True)
        install = [python, "-m", "pip", "install", "-q"]
        subprocess.run([*install, TORCH, "numpy"], check=True)
        subprocess.run([*install, "--no-deps", "memcnn", "revlib"], check=True)
    return str(python)


def couplings(steps, backends, small):
    """The same convolutions: two of 3x3 per shear on half of the channels, ReLU between them, no normalisation."""
    small = {"size": 8, "batch": 2, "channels": 8} if small else {}
    ours = {"block": "HamiltonianBlock", "backprop": "reversible", "normalization": None, "use_bias": False}
    for backend in backends:
        yield f"keras_pdecnn, {backend}", package("block", {**ours, "steps": steps, **small}), on(backend)
    for case in ("revlib", "memcnn"):
        for suffix, channels_last in LAYOUTS.items():
            settings = {"case": case, "steps": steps, "channels_last": channels_last, **small}
            yield f"{case}{suffix}", torch(settings), {}


def networks(backends, small):
    small = {"size": 8, "batch": 2} if small else {}
    for backend in backends:
        for backprop in ("stored", "reversible"):
            for policy in ("float32", "mixed_bfloat16"):
                command = package("network", {"backprop": backprop, "policy": policy, **small})
                yield f"keras_pdecnn, {backend}, {backprop}, {policy}", command, on(backend)
    for compiled in (True, False):
        for bfloat16 in (False, True):
            settings = {"case": "network", "compiled": compiled, "bfloat16": bfloat16, **small}
            name = f"PyTorch, {'compiled' if compiled else 'eager'}{', bfloat16 autocast' if bfloat16 else ''}"
            yield name, torch(settings), {}
    if importlib.util.find_spec("jax"):
        yield "JAX", [sys.executable, str(JAX_WORKER), json.dumps(small)], {}


def on(backend):
    return {"KERAS_BACKEND": backend}


def package(module, settings):
    return [sys.executable, "-m", f"keras_pdecnn.benchmarks.{module}", json.dumps(settings)]


def torch(settings):
    return [torch_python(), str(WORKER), json.dumps(settings)]


def printed(name, command, variables):
    """Return the lines that a contender prints, in a process of its own."""
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", **variables}
    run = subprocess.run(command, check=False, env=environment, text=True, capture_output=True)
    if run.returncode:
        sys.exit(f"{name} failed:\n{run.stderr}")
    return run.stdout.splitlines()


def compare(contenders, rounds):
    """Return the rows of every contender, one per round, taking turns."""
    rows = {name: [] for name, *_ in contenders}
    for i in range(rounds):
        for name, command, variables in contenders:
            print(f"round {i + 1} of {rounds}: {name}", file=sys.stderr)
            rows[name].append(json.loads(printed(name, command, variables)[-1]))
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
    parser.add_argument(
        "--backends", default="tensorflow", help="backends of keras_pdecnn, such as tensorflow,jax,torch"
    )
    parser.add_argument(
        "--quick", action="store_true", help="small sizes and one round, to see whether everything runs"
    )
    arguments = parser.parse_args()
    backends, small = arguments.backends.split(","), arguments.quick
    rounds = 1 if small else arguments.rounds
    if arguments.only != "networks":
        for steps in (2,) if small else STEPS:
            print(f"Reversible blocks, {steps} steps, {'small' if small else 'batch 8, 64x64, 32 channels'}\n")
            table(compare(list(couplings(steps, backends, small)), rounds), 1, "steps of training")
    if arguments.only != "couplings":
        print(f"The CIFAR-10 Hamiltonian network, 264,106 weights, {'small images' if small else 'batch 125'}\n")
        table(compare(list(networks(backends, small)), rounds), 2 if small else 125, "images")


if __name__ == "__main__":
    main()
