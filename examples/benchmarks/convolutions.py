"""How much of a training step is convolution, which bounds what all else could gain.

`python examples/benchmarks/convolutions.py [--rounds 5]` trains the paper's CIFAR-10 Hamiltonian network with the
package (TensorFlow) and in compiled PyTorch, in turns, each in a fresh process, and prints medians. Both leave
convolutions, their gradients and much else to oneDNN, which tells the time of every call (ONEDNN_VERBOSE). The package
also trains with the policy mixed_bfloat16. Each runs twice: as usual, and told, where TensorFlow does one operation at
a time, so that the times of the parts add up. Nothing else should run meanwhile.
"""

import argparse
import collections
import json
import statistics

from against_pytorch import on, package, printed, torch

WARMUP, REPETITIONS = 3, 8  # steps of each process: the first is that of both workers
FEATURES, KERNELS = "convolutions, gradients by the features", "gradients by the kernels"
OTHERS = {"batch_normalization": "batch normalisation", "reorder": "changes of the layout", "pooling": "pooling"}
VERBOSE = {"ONEDNN_VERBOSE": "profile_exec"}


def contenders(small):
    """Return command and environment of each, by name."""
    small = {"size": 8, "batch": 2} if small else {}
    settings = {"backprop": "stored", "repetitions": REPETITIONS, "warmup": WARMUP, **small}
    ours = package("network", settings)
    mixed = package("network", {**settings, "policy": "mixed_bfloat16"})
    theirs = torch({"case": "network", "compiled": True, "repetitions": REPETITIONS, **small})
    told = on("tensorflow") | VERBOSE | {"TF_NUM_INTEROP_THREADS": "1"}
    return {
        "keras_pdecnn": (ours, on("tensorflow")),
        "keras_pdecnn, told": (ours, told),
        "keras_pdecnn, mixed_bfloat16": (mixed, on("tensorflow")),
        "keras_pdecnn, mixed_bfloat16, told": (mixed, told),
        "PyTorch, compiled": (theirs, {}),
        "PyTorch, compiled, told": (theirs, VERBOSE),
    }


def parts(lines):
    """Return the milliseconds of a step in each part of oneDNN, from what it has printed."""
    total = collections.Counter()
    for line in lines:
        fields = line.split(",")
        if line.startswith("onednn_verbose") and fields[3] == "exec":
            kind, direction, milliseconds = fields[5], fields[7], float(fields[-1])
            if kind in ("convolution", "deconvolution"):  # PyTorch computes K^T by the latter
                name = KERNELS if direction == "backward_weights" else FEATURES
            else:
                name = OTHERS.get(kind, "other calls")
            total[name] += milliseconds / (WARMUP + REPETITIONS)
    return total


def measure(name, command, variables):
    """Return the milliseconds of a step, as a whole and in each part."""
    lines = printed(name, command, variables)
    return {"step": 1e3 * json.loads(lines[-1])["step_s"], **parts(lines)}


def main(rounds, small=False):
    """Measure in turns, and print."""
    rows = collections.defaultdict(list)
    for _ in range(rounds):
        for name, (command, variables) in contenders(small).items():
            rows[name].append(measure(name, command, variables))
    names = ["step", FEATURES, KERNELS, *OTHERS.values(), "other calls"]
    print(f"| milliseconds | {' | '.join(rows)} |")
    print("|" + "---|" * (1 + len(rows)))
    for part in names:
        medians = (statistics.median(row.get(part, 0) for row in runs) for runs in rows.values())
        print(f"| {part} | {' | '.join(f'{value:.0f}' if value else '' for value in medians)} |")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="A small network and one round, to see that all runs.")
    given = parser.parse_args()
    main(1 if given.quick else given.rounds, given.quick)
