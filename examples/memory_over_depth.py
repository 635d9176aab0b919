"""Peak memory of one training step over depth: activations stored, checkpointed, and computed again by running back.

python examples/memory_over_depth.py

Each figure comes from a fresh process. `keras-pdecnn benchmark` measures more, and draws it.
"""

import json
import subprocess
import sys

BLOCK = "HamiltonianBlock"
MODES = ("stored", "checkpointed", "reversible")
DEPTHS = (4, 16, 64, 256)
SIZE = 64
CHANNELS = 32
BATCH = 8


def measure(mode, steps):
    """Return the megabytes above the resting level, less the gradients of the weights, and the seconds of a step."""
    settings = {"block": BLOCK, "backprop": mode, "steps": steps, "batch": BATCH, "size": SIZE, "channels": CHANNELS}
    command = [sys.executable, "-m", "keras_pdecnn.benchmarks.block", json.dumps({**settings, "repetitions": 2})]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=600)
    found = json.loads(done.stdout.splitlines()[-1])
    return (found["peak_bytes"] - found["gradient_bytes"]) / 1e6, found["step_s"]


def main():
    """Print a table: megabytes and seconds, one row for each mode."""
    print("| backprop | " + " | ".join(f"{steps} steps" for steps in DEPTHS) + " |")
    print("|---|" + "---|" * len(DEPTHS))
    for mode in MODES:
        cells = []
        for steps in DEPTHS:
            megabytes, seconds = measure(mode, steps)
            cells.append(f"{megabytes:.0f} MB, {seconds:.2f} s")
        print(f"| {mode} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
