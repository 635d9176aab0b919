"""How much of a training step is convolution, which bounds what all else could gain.

`python examples/benchmarks/convolutions.py [--rounds 5]` trains the paper's CIFAR-10 Hamiltonian network with the
package (TensorFlow), also with the policy mixed_bfloat16, and in compiled PyTorch, and takes gradients of reversible
blocks with the package, revlib and memcnn; in turns, each in a fresh process. All leave convolutions, their gradients
and much else to oneDNN, which tells the time of every call (ONEDNN_VERBOSE). The package and PyTorch's network run
twice: as usual, and told, where TensorFlow does one operation at a time, so that the times of the parts add up.

The first table shows how much faster the package is than each of the others, and how much faster it could be at most,
if all but its convolutions cost nothing. In one row, only ReLU is left between the convolutions of the blocks: the
network then has a normalisation, a scale and a bias that cost nothing. The second table shows the parts of the steps of
the network. All figures are medians; a cell is empty where oneDNN has nothing to tell. Nothing else should run
meanwhile: five rounds take twenty minutes.
"""

import argparse
import collections
import json
import statistics

from against_pytorch import STEPS, couplings, on, package, printed, torch

WARMUP, REPETITIONS = 3, 8  # steps of each process of a network: the first is that of both workers
BLOCK_STEPS = 6  # steps of each process of a block, one of them not timed
FEATURES, KERNELS = "convolutions, gradients by the features", "gradients by the kernels"
OTHERS = {"batch_normalization": "batch normalisation", "reorder": "changes of the layout", "pooling": "pooling"}
PARTS = ("step", FEATURES, KERNELS, *OTHERS.values(), "other calls")
TOLD = {"ONEDNN_VERBOSE": "profile_exec", "TF_NUM_INTEROP_THREADS": "1"}
PEERS = ("revlib", "memcnn")
OURS, THEIRS = "keras_pdecnn", "PyTorch, compiled"
MIXED, RELU = f"{OURS}, mixed_bfloat16", f"{OURS}, ReLU alone"
NETWORKS = OURS, RELU, MIXED, THEIRS


def contenders(small):
    """Return command, environment and number of steps of each, by name."""
    sizes = {"size": 8, "batch": 2} if small else {}
    settings = {"backprop": "stored", "repetitions": REPETITIONS, "warmup": WARMUP, **sizes}
    commands = {
        OURS: package("network", settings),
        RELU: package("network", {**settings, "normalization": None, "use_bias": False}),
        MIXED: package("network", {**settings, "policy": "mixed_bfloat16"}),
        THEIRS: torch({"case": "network", "compiled": True, "repetitions": REPETITIONS, **sizes}),
    }
    count = WARMUP + REPETITIONS
    found = {}
    for name, command in commands.items():
        found |= {name: (command, on("tensorflow"), count), told(name): (command, on("tensorflow") | TOLD, count)}
    for steps in depths(small):
        for name, command, variables in couplings(steps, ["tensorflow"], small):
            if name == "keras_pdecnn, tensorflow":
                found |= {block(OURS, steps): (command, variables, BLOCK_STEPS)}
                found |= {told(block(OURS, steps)): (command, variables | TOLD, BLOCK_STEPS)}
            elif name in PEERS:  # with channels last
                found |= {block(name, steps): (command, variables, BLOCK_STEPS)}
    return found


def depths(small):
    """Return the numbers of steps of the reversible blocks."""
    return (2,) if small else STEPS


def told(name):
    """Return the name of a contender that tells the times of its parts."""
    return f"{name}, told"


def block(name, steps):
    """Return the name of a contender with reversible blocks."""
    return f"{name}, block of {steps} steps"


def comparisons(small):
    """Return pairs of a contender of the package and another one."""
    blocks = [(block(OURS, steps), block(peer, steps)) for steps in depths(small) for peer in PEERS]
    return [*((network, THEIRS) for network in (OURS, RELU, MIXED)), *blocks]


def parts(lines, count):
    """Return the milliseconds of a step in each part of oneDNN, from what it has printed in a number of steps."""
    total = collections.Counter()
    for line in lines:
        fields = line.split(",")
        if line.startswith("onednn_verbose") and fields[3] == "exec":
            kind, direction, milliseconds = fields[5], fields[7], float(fields[-1])
            if kind in ("convolution", "deconvolution"):  # PyTorch computes K^T by the latter
                name = KERNELS if direction == "backward_weights" else FEATURES
            else:
                name = OTHERS.get(kind, "other calls")
            total[name] += milliseconds / count
    return total


def measure(name, command, variables, count):
    """Return the milliseconds of a step, as a whole and in each part."""
    lines = printed(name, command, variables)
    return {"step": 1e3 * json.loads(lines[-1])["step_s"], **parts(lines, count)}


def table(header, rows):
    """Print a table in Markdown, with empty cells for zeros."""
    for cells in (header, ["---"] * len(header), *rows):
        print(f"| {' | '.join('' if cell == '0' else cell for cell in cells)} |")
    print(flush=True)


def in_turns(rounds, small):
    """Return the medians of all contenders, by name and part."""
    runs = collections.defaultdict(list)
    for _ in range(rounds):
        for name, contender in contenders(small).items():
            runs[name].append(measure(name, *contender))
    return {
        name: {part: statistics.median(run.get(part, 0) for run in of_name) for part in PARTS}
        for name, of_name in runs.items()
    }


def bounds(medians, small):
    """Return the rows of the first table."""
    for ours, theirs in comparisons(small):
        mine, step = medians[ours]["step"], medians[theirs]["step"]
        alone = medians[told(ours)][FEATURES] + medians[told(ours)][KERNELS]
        most = f"{step / alone:.2f}" if alone else ""
        yield f"{ours}; {theirs}", f"{mine:.0f}", f"{alone:.0f}", f"{step:.0f}", f"{step / mine:.2f}", most


def main(rounds, small=False):
    """Measure, and print both tables."""
    medians = in_turns(rounds, small)
    header = "milliseconds", "package", "its convolutions alone", "other", "faster by", "at most by"
    table(header, bounds(medians, small))
    networks = [name for network in NETWORKS for name in (network, told(network)) if name in medians]
    rows = [(part, *(f"{medians[name][part]:.0f}" for name in networks)) for part in PARTS]
    table(("milliseconds", *networks), rows)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="A small network and one round, to see that all runs.")
    given = parser.parse_args()
    main(1 if given.quick else given.rounds, given.quick)
