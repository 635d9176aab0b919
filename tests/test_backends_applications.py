"""The applications under JAX and PyTorch, and the package without TensorFlow, each in a process of its own."""

import importlib.metadata
import importlib.util
import json
import os
import pathlib
import re
import subprocess
import sys

import pytest
from helpers import QUICK_JAX, XLA_FLAGS

from keras_pdecnn.utils.processor import has_bfloat16

CASES = pathlib.Path(__file__).parent / "helpers" / "application_cases.py"


def run(case, backend, folder, **environment):
    """Return what a case of the helper prints."""
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"needs keras-pdecnn[{backend}]")
    done = subprocess.run(
        [sys.executable, str(CASES), case, str(folder)],
        env={**os.environ, "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3", **QUICK_JAX, **environment},
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def is_one_line(outcome, code):
    exit_code, text = outcome
    return exit_code == code and text.startswith("Error: ") and text.count("\n") == 1


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_applications(backend, tmp_path):
    # One test, as the process takes half a minute.
    outcome = run("applications", backend, tmp_path)
    check_run(outcome, backend)
    check_other_commands(outcome)
    check_what_is_tensorflows(outcome, backend)
    check_benchmarks(outcome, backend)


def check_run(outcome, backend):
    """A run whose weights are averaged is trained, evaluated and predicts; a resumed one ends with the same weights."""
    assert outcome["train"][0] == 0
    assert outcome["metrics"]["accuracy"] > 0.9
    assert outcome["config"]["backend"] == backend
    assert outcome["config"][backend].startswith(importlib.metadata.version(backend).split("+")[0])
    assert outcome["evaluate"][0] == 0
    assert "32 test examples" in outcome["evaluate"][1]
    assert f"Test accuracy: {100 * outcome['metrics']['accuracy']:.2f} %" in outcome["evaluate"][1]
    rows = json.loads(outcome["predict"][1])["predictions"]
    assert len(rows) == 32
    assert {row["label"] for row in rows} == {"0", "1"}
    assert outcome["resume"][0] == 0
    assert outcome["resumed_is_whole"]


def check_other_commands(outcome):
    for name in ("explain", "stability", "tune"):
        assert outcome[name][0] == 0, outcome[name][1]
    assert "1 trials: 1 completed, 0 failed" in outcome["tune"][1]


def check_what_is_tensorflows(outcome, backend):
    assert is_one_line(outcome["mirrored"], 2)
    assert f"Received: strategy='mirrored', backend={backend!r}" in outcome["mirrored"][1]
    assert is_one_line(outcome["litert"], 2)
    assert "is written under KERAS_BACKEND=tensorflow, where" in outcome["litert"][1]
    if backend == "torch":
        assert is_one_line(outcome["savedmodel"], 2)
        assert "is written under KERAS_BACKEND=tensorflow or jax, where" in outcome["savedmodel"][1]
        return
    assert outcome["savedmodel"][0] == 0
    assert outcome["any_size"].endswith("Received: a model of shape (None, None, None, 1)")
    rows, of_savedmodel = (json.loads(outcome[name][1])["predictions"] for name in ("predict", "predict_savedmodel"))
    assert [row["label"] for row in of_savedmodel] == [row["label"] for row in rows]
    assert max(abs(a["probability"] - b["probability"]) for a, b in zip(rows, of_savedmodel, strict=True)) < 1e-5


def check_benchmarks(outcome, backend):
    """The command measures in processes of their own; the other two tables are measured where the case runs."""
    assert outcome["benchmark"][0] == 0, outcome["benchmark"][1]
    assert "| HamiltonianBlock | reversible | memory, MB |" in re.sub(" +", " ", outcome["benchmark"][1])
    (row,) = outcome["report"]["rows"]["depth"]
    assert row["step_s"] > 0
    assert row["peak_bytes"] > 0
    assert row["gradient_bytes"] == 4 * 3 * 2 * (9 * 2 * 2 + 2 + 2)
    version = importlib.metadata.version(backend).split("+")[0]
    assert outcome["report"]["machine"][{"jax": "JAX", "torch": "PyTorch"}[backend]].startswith(version)
    assert outcome["network"]["step_s"] > 0
    errors = {row["policy"]: row["error"] for row in outcome["precision"]}
    assert 0 < errors["float32"] < 1e-6 < errors["mixed_float16"] < 0.05
    if has_bfloat16():
        assert errors["mixed_float16"] < errors["mixed_bfloat16"] < 0.05
    else:
        assert errors["mixed_bfloat16"] == errors["float32"]


@pytest.mark.slow
def test_data_parallel_is_one_device(tmp_path):
    flags = {"XLA_FLAGS": f"{XLA_FLAGS} --xla_force_host_platform_device_count=2", "JAX_ENABLE_X64": "1"}
    outcome = run("data_parallel", "jax", tmp_path, **flags)
    assert outcome["devices"] == 2
    for name, tolerance in (("network", 1e-6), ("block", 1e-12)):
        difference, change = outcome[name]
        assert difference < tolerance
        assert change > 1e-3


@pytest.mark.slow
def test_without_tensorflow(tmp_path):
    outcome = run("without_tensorflow", "jax", tmp_path)
    assert outcome["accuracy"] > 0.9
    assert outcome["loaded"] == 0
    assert outcome["saliency"] == [2, 8, 8, 1]
    assert outcome["report"] == 2
    assert outcome["data"].startswith("pde.data.load needs the package tensorflow: pip install tensorflow.")
    assert outcome["data"].endswith("Received: no module tensorflow")
    assert outcome["run"].startswith("pde.training.run needs the package tensorflow")
    assert outcome["strategy"].startswith("pde.distribute needs the package tensorflow")
    assert outcome["tuning"].startswith("pde.tuning needs the package keras-tuner: pip install keras-tuner.")
    assert outcome["predict"][0] == 0
    assert is_one_line(outcome["train"], 1)
    assert "needs the package tensorflow" in outcome["train"][1]
    assert is_one_line(outcome["tune"], 1)
    assert "keras-pdecnn tune needs the package tensorflow" in outcome["tune"][1]
