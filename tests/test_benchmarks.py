"""Memory of a training step, measured as the high-water mark of a fresh process."""

import json
import subprocess
import sys

import pytest

STATE = 8 * 64 * 64 * 32 * 4  # bytes of the features of one time


def peak(block, backprop, steps):
    """Return the peak above the resting level, less the gradients of the weights."""
    settings = {"block": block, "backprop": backprop, "steps": steps, "repetitions": 1}
    command = [sys.executable, "-m", "keras_pdecnn.benchmarks.block", json.dumps(settings)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True)
    figures = json.loads(done.stdout.splitlines()[-1])
    return figures["peak_bytes"] - figures["gradient_bytes"]


@pytest.mark.slow
@pytest.mark.parametrize("block", ["HamiltonianBlock", "SecondOrderBlock"])
def test_memory_of_reversible_backpropagation_does_not_grow_with_depth(block):
    # One state kept per step would be 56 states more.
    assert peak(block, "reversible", 64) - peak(block, "reversible", 8) < 10 * STATE


@pytest.mark.slow
def test_stored_activations_grow_with_depth():
    assert peak("SecondOrderBlock", "stored", 24) - peak("SecondOrderBlock", "stored", 8) > 2 * 16 * STATE
