"""The measurements of the tables of a benchmark, each in a fresh process."""

from __future__ import annotations

import importlib
import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from keras_pdecnn.benchmarks.references import reference
from keras_pdecnn.networks import NETWORKS

# Stored activations are measured up to so many steps and extrapolated beyond: they take 17 to 19 MB a step here.
_STORED_STEPS = {"quick": 16, "full": 256}
_DEPTHS = {"quick": (4, 16), "full": (4, 16, 64, 256, 1024)}
_PRECISION_DEPTHS = {"quick": (4, 16), "full": (4, 16, 64, 256, 1024)}
_MODES = ("stored", "checkpointed", "reversible")
_EVERY = 16
# The precision is measured against float64, which JAX has only with the second variable.
_ENVIRONMENT = {"block": {}, "network": {}, "precision": {"JAX_ENABLE_X64": "1"}}


_BACKENDS = {"tensorflow": "TensorFlow", "jax": "JAX", "torch": "PyTorch"}


@dataclass(frozen=True)
class Measurement:
    """One process: a module of this package and its settings. It prints a row or a list of rows as JSON."""

    table: str
    module: str
    settings: dict

    @property
    def title(self) -> str:
        return f"{self.table}: " + ", ".join(str(value) for value in self.settings.values())

    @property
    def command(self) -> list[str]:
        return ["-m", f"keras_pdecnn.benchmarks.{self.module}", json.dumps(self.settings)]


def measurements(extent: str = "full") -> list[Measurement]:
    """Return the measurements of the tables "depth", "network" and "precision", of all reversible networks.

    Args:
        extent: "full" (an hour on two cores, default) or "quick" (a few minutes).

    Raises:
        ValueError: If a network of `models.NETWORKS` cannot be imported by a fresh process.
    """
    from keras_pdecnn import layers, models  # takes the seconds of Keras's backend

    reversible = [network for network in NETWORKS.values() if network.is_reversible]
    blocks = [reference(network.block, layers) for network in reversible]
    builders = [reference(network.builder, models) for network in reversible]
    suite = []
    for block in blocks:
        for steps in _DEPTHS[extent]:
            # Modes take turns, so that a change of the machine's load falls on all of them.
            for backprop in _MODES:
                if backprop == "stored" and steps > _STORED_STEPS[extent]:
                    continue
                repetitions = 5 if steps <= 64 else 1
                settings = {"block": block, "backprop": backprop, "steps": steps, "repetitions": repetitions}
                suite.append(Measurement("depth", "block", settings))
    repetitions = {"quick": 3, "full": 8}[extent]
    for _ in range({"quick": 1, "full": 5}[extent]):
        for architecture in builders:
            for backprop in ("stored", "reversible"):
                settings = {"architecture": architecture, "backprop": backprop, "repetitions": repetitions}
                suite.append(Measurement("network", "network", settings))
    modes = [(mode, None) for mode in _MODES] + [("reversible", _EVERY)]
    for block in blocks:
        for steps in _PRECISION_DEPTHS[extent]:
            settings = {"block": block, "depths": [steps], "modes": modes}
            suite.append(Measurement("precision", "precision", settings))
    return suite


def run(wanted: list[Measurement], progress: Callable[[list[Measurement]], Iterable[Measurement]] = iter) -> dict:
    """Take the measurements one after the other.

    Args:
        wanted: Measurements, see `measurements`.
        progress: Function from the list of measurements to an iterable of them, such as a progress bar; default `iter`.

    Returns:
        A dict of machine, its description, and rows, a list for each table.

    Raises:
        RuntimeError: If a process fails; the message ends with the last line that the process wrote.
    """
    rows: dict[str, list[dict]] = {measurement.table: [] for measurement in wanted}
    for measurement in progress(wanted):
        done = subprocess.run(
            [sys.executable, *measurement.command],
            env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", **_ENVIRONMENT[measurement.module]},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
            raise RuntimeError(f"The benchmark {measurement.title} failed: {last}")
        result = json.loads(done.stdout.splitlines()[-1])
        rows[measurement.table] += result if isinstance(result, list) else [result]
    return {"machine": machine(), "rows": rows}


def machine() -> dict:
    """Describe the machine and the software: processor, cores, memory, GPUs, versions."""
    import keras

    from keras_pdecnn.ops.backend import runtime
    from keras_pdecnn.version import __version__

    backend = keras.backend.backend()
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_GB": round(_memory() / 1e9, 1),
        "GPUs": runtime.gpus(),
        "system": f"{platform.system()} {platform.machine()}",
        "Python": platform.python_version(),
        _BACKENDS[backend]: importlib.import_module(backend).__version__,
        "Keras": keras.__version__,
        "keras_pdecnn": __version__,
        "oneDNN": os.environ.get("TF_ENABLE_ONEDNN_OPTS", "default"),
    }


def _processor() -> str:
    try:
        with open("/proc/cpuinfo") as file:
            return next(line.split(":", 1)[1].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _memory() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError):
        return 0
