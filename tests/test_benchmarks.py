"""Memory of a training step, measured as the high-water mark of a fresh process, and the package's own tables."""

import importlib
import inspect
import json
import re
import subprocess
import sys

import pytest

from keras_pdecnn import layers
from keras_pdecnn.benchmarks import block, precision, report, suite
from keras_pdecnn.utils.processor import has_bfloat16

STATE = 8 * 64 * 64 * 32 * 4  # bytes of the features of one time


def figures_of(module, **settings):
    """Return what a program of `keras_pdecnn.benchmarks` measures in a process of its own."""
    command = [sys.executable, "-m", f"keras_pdecnn.benchmarks.{module}", json.dumps(settings)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def peak(block, backprop, steps, **settings):
    """Return the peak above the resting level, less the gradients of the weights."""
    figures = figures_of("block", block=block, backprop=backprop, steps=steps, repetitions=1, **settings)
    return figures["peak_bytes"] - figures["gradient_bytes"]


@pytest.mark.slow
@pytest.mark.parametrize("block", ["HamiltonianBlock", "SecondOrderBlock"])
def test_memory_of_reversible_backpropagation_does_not_grow_with_depth(block):
    # One state kept per step would be 56 states more.
    assert peak(block, "reversible", 64) - peak(block, "reversible", 8) < 10 * STATE


@pytest.mark.slow
def test_stored_activations_grow_with_depth():
    assert peak("SecondOrderBlock", "stored", 24) - peak("SecondOrderBlock", "stored", 8) > 2 * 16 * STATE


@pytest.mark.slow
def test_the_steps_at_the_end_keep_less_than_all_their_activations():
    # x and K x of half of the channels for each of two shears; stored steps keep sigma(N(K x)) as well.
    steps = 24
    frugal = peak("HamiltonianBlock", "reversible", steps, stored_steps=steps)
    assert peak("HamiltonianBlock", "stored", steps) - frugal > 0.8 * steps * STATE


@pytest.mark.slow
def test_a_whole_network_needs_three_quarters_of_the_memory():
    """Blocks of three steps undo none of them; opening and connectors keep their inputs only."""
    reversible, stored = (
        figures_of("network", backprop=mode, batch=125, repetitions=1, warmup=1)["peak_bytes"]
        for mode in ("reversible", "stored")
    )
    assert reversible < 0.75 * stored


def test_a_report_has_tables_and_pictures(tmp_path):
    depth = [
        {"block": "HamiltonianBlock", "backprop": mode, "steps": steps, "step_s": 0.01 * steps, "first_s": 1.0}
        | {"peak_bytes": 5e7 + grows * steps * 1e7, "gradient_bytes": 1e6}
        for mode, grows, depths in (("stored", 1, (4, 16)), ("reversible", 0, (4, 16, 64)))
        for steps in depths
    ]
    network = [
        {"architecture": "HamiltonianCNN", "backprop": mode, "step_s": s, "peak_bytes": 4e8, "weights": 264106}
        for mode in ("stored", "reversible")
        for s in (0.5, 0.25)
    ]
    precision = [
        {"block": "HamiltonianBlock", "steps": steps, "backprop": "reversible", "checkpoint_every": every}
        | {"policy": "float32", "error": 1e-7 * steps}
        for every in (None, 16)
        for steps in (4, 16)
    ]
    result = {"machine": suite.machine(), "rows": {"depth": depth, "network": network, "precision": precision}}
    text = re.sub(" +", " ", report.write(result, tmp_path).read_text())  # tables are aligned
    # Stored memory is 49 MB + 10 MB a step, extrapolated beyond 16 steps.
    assert "| HamiltonianBlock | stored | memory, MB | 89 | 209 | ~689 |" in text
    assert "| HamiltonianBlock | reversible | memory, MB | 49 | 49 | 49 |" in text
    assert "| HamiltonianCNN | stored | 264,106 | 375 (250 to 500) | 400 |" in text
    assert "| HamiltonianBlock | float32 | reversible/16 | 4.0e-07 | 1.6e-06 |" in text
    names = {"report.md", "benchmark.json", "memory.png", "time.png", "precision.png"}
    assert {path.name for path in tmp_path.iterdir()} == names
    assert json.loads((tmp_path / "benchmark.json").read_text()) == result


def left_of(function, settings):
    """Return the settings that a function hands on; raise TypeError if one is none of its own and it hands none on."""
    return inspect.signature(function).bind(**settings).arguments.get("settings", {})


def test_every_measurement_of_the_suite_fits_its_module():
    for extent in ("quick", "full"):
        wanted = suite.measurements(extent)
        assert {m.table for m in wanted} == {"depth", "network", "precision"}
        for m in wanted:
            module = importlib.import_module(f"keras_pdecnn.benchmarks.{m.module}")
            others = left_of(module.measure, json.loads(m.command[-1]))
            if module is block:
                assert set(left_of(block.BlockRun, others)) <= set(inspect.signature(layers.PDEBlock).parameters)
            elif module is precision:
                first = {"block": m.settings["block"], "steps": 4, "modes": m.settings["modes"]}
                left_of(precision.gradient_errors, {**first, **others})
    stored = [m.settings["steps"] for m in wanted if m.settings.get("backprop") == "stored" and "steps" in m.settings]
    assert max(stored) == 256


def test_a_failing_process_is_named():
    broken = suite.Measurement("depth", "block", {"block": "NoBlock", "backprop": "stored", "steps": 1})
    with pytest.raises(RuntimeError, match=r"benchmark depth: NoBlock, stored, 1 failed: .*NoBlock"):
        suite.run([broken])


@pytest.mark.slow
def test_the_measurements_run():
    small = {"size": 8, "batch": 2, "repetitions": 1}
    result = suite.run(
        [
            suite.Measurement("depth", "block", {"block": "ParabolicBlock", "backprop": "stored", "steps": 2, **small}),
            suite.Measurement("network", "network", {"steps": 1, "widths": [4], **small}),
            suite.Measurement(
                "precision", "precision", {"block": "HamiltonianBlock", "depths": [2], "modes": [["reversible", None]]}
            ),
        ]
    )
    assert result["rows"]["depth"][0]["step_s"] > 0
    assert result["rows"]["network"][0]["peak_bytes"] > 0
    errors = {row["policy"]: row["error"] for row in result["rows"]["precision"]}
    assert 0 < errors["float32"] < 1e-6 < errors["mixed_float16"] < 0.05
    if has_bfloat16():
        assert errors["mixed_float16"] < errors["mixed_bfloat16"] < 0.05
    else:
        assert errors["mixed_bfloat16"] == errors["float32"]
