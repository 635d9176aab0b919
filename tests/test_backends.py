"""The package under Keras's three backends: blocks, networks, stability and files agree, and memory does not grow."""

import importlib.util
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import keras
import numpy as np
import pytest
from helpers import QUICK_JAX

from keras_pdecnn import models

HELPERS = Path(__file__).parent / "helpers"
REFERENCE = Path(__file__).parent / "data" / "reference_blocks.npz"
BACKENDS = ("tensorflow", "jax", "torch")
OTHERS = [
    pytest.param(name, marks=pytest.mark.skipif(not importlib.util.find_spec(name), reason=f"{name} is not installed"))
    for name in ("jax", "torch")
]
QUICK = {"JAX_ENABLE_X64": "1", **QUICK_JAX}
TOLERANCES = {"float64": 1e-12, "special": 1e-12, "energies": 1e-12, "networks/bfloat16": 0.03}
SHAPE = (6, 6, 1)


def start(script, backend, *arguments, **variables):
    """Start a script of the helpers under a backend."""
    environment = {**os.environ, "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3", **variables}
    environment["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parents[1]), environment.get("PYTHONPATH", "")])
    command = [sys.executable, str(HELPERS / script), *map(str, arguments)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(process):
    """Return the lines that a script has printed."""
    printed, errors = process.communicate()
    assert process.returncode == 0, errors
    return printed.splitlines()


def error(result, expected):
    return np.max(np.abs(result - expected)) / np.max(np.abs(expected))


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Return the folder of a trained network of this process, with its examples and predictions."""
    folder = tmp_path_factory.mktemp("backends")
    model = models.ParabolicCNN(SHAPE, 3, widths=(4,), steps=2)
    model.compile(keras.optimizers.SGD(0.01, momentum=0.9), "sparse_categorical_crossentropy")
    x = np.random.default_rng(5).uniform(0, 255, (4, *SHAPE)).astype("float32")
    model.fit(x, np.array([0, 1, 2, 1]), verbose=0)
    model.save(folder / "other.keras")
    state = np.concatenate([np.ravel(variable) for variable in model.optimizer.variables])
    return folder, x, {"prediction": model.predict(x, verbose=0), "optimizer": state}


@pytest.fixture(scope="module")
def results(saved):
    """Return what the backends have computed, by backend, and then by the names of the numbers."""
    folder, _, _ = saved
    names = [name for name in BACKENDS if importlib.util.find_spec(name)]
    processes = [start("backend_models.py", name, REFERENCE, folder, **QUICK) for name in names]
    for process in processes:
        finish(process)
    return {name: dict(np.load(folder / f"{name}.npz")) for name in names}


@pytest.mark.parametrize("backend", ["tensorflow", *OTHERS])
def test_blocks_agree_with_the_authors(backend, results):
    figures = np.load(REFERENCE)
    keys = [key for key in results[backend] if key.startswith("reference/")]
    assert {key.split("/")[1] for key in keys} == {key.split("/")[0] for key in figures.files}
    for key in keys:
        _, case, _, name = key.split("/")
        assert error(results[backend][key], figures[f"{case}/{name}"]) <= 1e-12, key


@pytest.mark.parametrize("group", ["float64", "float32", "special", "energies", "networks", "files", "stability"])
@pytest.mark.parametrize("backend", OTHERS)
def test_backends_agree(backend, group, results):
    keys = [key for key in results["tensorflow"] if key.startswith(f"{group}/")]
    assert keys == [key for key in results[backend] if key.startswith(f"{group}/")] != []
    for key in keys:
        found, expected = results[backend][key], results["tensorflow"][key]
        tolerance = next((value for name, value in TOLERANCES.items() if key.startswith(f"{name}/")), 1e-5)
        assert found.dtype == expected.dtype, key
        assert error(found, expected) <= tolerance, key


@pytest.mark.parametrize("backend", ["tensorflow", *OTHERS])
def test_files_of_one_backend_load_under_the_others(backend, results, saved):
    folder, x, expected = saved
    for name, value in expected.items():
        assert error(results[backend][f"files/other/{name}"], value) <= 1e-5, name
    model = models.load_model(folder / f"{backend}.keras")
    assert isinstance(model, models.PDEModel)
    assert error(model.predict(x, verbose=0), results[backend]["files/saved/prediction"]) <= 1e-5


def test_files_are_the_same_under_every_backend(results, saved):
    configurations = []
    for backend in results:
        with zipfile.ZipFile(saved[0] / f"{backend}.keras") as archive:
            configurations.append(without_identities(json.loads(archive.read("config.json"))))
    assert all(configuration == configurations[0] for configuration in configurations)
    assert configurations[0]["compile_config"]["jit_compile"] == "auto"


def without_identities(config):
    """Return a configuration without the numbers that tell whether two objects are the same."""
    if isinstance(config, list):
        return list(map(without_identities, config))
    if not isinstance(config, dict):
        return config
    return {key: without_identities(value) for key, value in config.items() if key != "shared_object_id"}


@pytest.mark.parametrize("block", ["HamiltonianBlock", "SecondOrderBlock"])
@pytest.mark.parametrize("backend", OTHERS)
def test_memory_does_not_grow_with_depth(backend, block):
    """The weights' gradients, which do grow, are not counted."""
    if backend == "jax":
        small, large = map(int, finish(start("backend_memory.py", backend, block, "reversible", 128, 16, 256)))
    else:
        # Large tensors are given back to the system, so that the peak does not depend on gaps in the heap.
        heap = {"MALLOC_MMAP_THRESHOLD_": "65536", "OMP_NUM_THREADS": "1"}
        processes = [start("backend_memory.py", backend, block, "reversible", 64, steps, **heap) for steps in (16, 256)]
        small, large = (int(finish(process)[0]) for process in processes)
    assert large <= 1.25 * small
