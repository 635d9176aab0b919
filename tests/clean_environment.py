"""The wheel in an empty environment, its export in one with TensorFlow alone: `python tests/clean_environment.py`.

Build the wheel and install it; train on the digits for two epochs, export, and predict the test images. A second
environment gets TensorFlow without Keras and must predict the same. It installs packages of a gigabyte twice, so it is
no part of the tests.
"""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import venv

ROOT = pathlib.Path(__file__).parents[1]
MINUTES = 30  # for one command

WRITE_DIGITS = """
import keras_pdecnn as pde, numpy as np
np.savez("digits.npz", x=np.concatenate([x for x, _ in pde.data.load("digits").test]))
"""
PREDICT = """
import importlib.util, numpy as np, tensorflow as tf
assert importlib.util.find_spec("keras") is None and importlib.util.find_spec("keras_pdecnn") is None
serve = tf.saved_model.load("run/savedmodel/1").signatures["serving_default"]
outputs = serve(image=tf.constant(np.load("digits.npz")["x"].astype("float32")))
np.savez("outputs.npz", label=outputs["label"].numpy().astype(str), probabilities=outputs["probabilities"])
"""


def environment(path, *packages):
    """Make a virtual environment with packages; return its folder of programs."""
    venv.create(path, with_pip=True)
    run(path / "bin" / "python", "-m", "pip", "install", "-q", *packages)
    return path / "bin"


def run(*command, cwd=None):
    print("+", *command, file=sys.stderr)
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        list(map(str, command)),
        cwd=cwd,
        env=variables,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        timeout=MINUTES * 60,
    )
    return done.stdout


def main():
    import numpy as np

    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        # Built from a copy: setuptools leaves its files in the source, and takes old ones from there.
        unwanted = shutil.ignore_patterns(".*", "build", "*.egg-info", "__pycache__")
        source = shutil.copytree(ROOT, folder / "source", ignore=unwanted)
        run(sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--wheel-dir", folder, source)
        (wheel,) = folder.glob("*.whl")
        first = environment(folder / "first", wheel)
        command = first / "keras-pdecnn"
        train = ["train", "digits", "--epochs", "2", "--learning-rates", "0.05", "--output", "run", "--verbose", "0"]
        print(run(command, *train, cwd=folder), end="")
        print(run(command, "export", "run", cwd=folder), end="")
        run(first / "python", "-c", WRITE_DIGITS, cwd=folder)
        rows = json.loads(run(command, "predict", "run", "digits.npz", "--format", "json", cwd=folder))["predictions"]
        version = run(first / "python", "-c", "import tensorflow as tf; print(tf.__version__)").strip()
        second = environment(folder / "second", f"tensorflow=={version}")
        run(second / "python", "-m", "pip", "uninstall", "-q", "-y", "keras")
        run(second / "python", "-c", PREDICT, cwd=folder)
        found = np.load(folder / "outputs.npz")
    assert [row["label"] for row in rows] == found["label"].tolist()
    gap = np.abs([row["probability"] for row in rows] - found["probabilities"].max(axis=1)).max()
    assert gap < 1e-5, gap
    print(f"{len(rows)} predictions are equal in both environments; largest difference of a probability: {gap:.1e}")


if __name__ == "__main__":
    main()
