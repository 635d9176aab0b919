"""What the applications do under the backend of KERAS_BACKEND, as one line of JSON.

python tests/helpers/application_cases.py CASE FOLDER
"""

# ruff: noqa: E402

import json
import os
import pathlib
import sys
import unittest.mock

CASE, FOLDER = sys.argv[1], pathlib.Path(sys.argv[2])
if CASE == "without_tensorflow":
    for package in ("tensorflow", "keras_tuner", "tensorflow_datasets", "tensorboard"):
        sys.modules[package] = None  # importing it then fails

import click.testing
import keras
import numpy as np

import keras_pdecnn as pde
from keras_pdecnn import cli

SMALL = ["--widths", "4", "--steps", "2", "--batch-size", "16", "--validation", "0.25", "--pad", "0.125"]
RATES = ["--epochs", "2,1", "--learning-rates", "0.1,0.02"]
TRAIN = ["train", "stripes.npz", *SMALL, *RATES, "--ema", "0.5", "--verbose", "0"]


def stripes(count, seed):
    """Return noisy images of horizontal (class 0) and vertical (class 1) stripes, and their classes."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, count)
    wave = np.tile(np.cos(np.pi * np.arange(8)), (8, 1))
    x = np.where(labels[:, None, None], wave, wave.T) * 60 + 128 + rng.normal(0, 20, (count, 8, 8))
    return x.clip(0, 255).astype(np.uint8)[..., None], labels.astype(np.int32)


def write_stripes():
    x, y = stripes(96, 0)
    x_test, y_test = stripes(32, 1)
    np.savez("stripes.npz", x_train=x, y_train=y, x_test=x_test, y_test=y_test)


def command(*words):
    """Run a command; return its exit code and what it printed."""
    done = click.testing.CliRunner().invoke(cli.main, list(map(str, words)))
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return [done.exit_code, done.output]


def weights(run):
    return keras.saving.load_model(pathlib.Path(run, "model.keras"), compile=False).get_weights()


class Interruption(keras.callbacks.Callback):
    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 2:
            raise KeyboardInterrupt


def refusal(model):
    """Return what the export of a SavedModel says against a model."""
    try:
        pde.export.savedmodel(model, "refused")
    except ValueError as error:
        return str(error)
    return ""


def applications():
    """Train, resume, evaluate, predict, explain, tune, export and measure."""
    from keras_pdecnn import training
    from keras_pdecnn.benchmarks import network, precision, suite
    from keras_pdecnn.runs import RunFolder

    assert "tensorflow" not in sys.modules  # it is imported when it is needed
    write_stripes()
    outcome = {"train": command(*TRAIN, "--output", "whole", "--monitor")}
    folder = RunFolder("whole")
    outcome["config"] = json.loads(folder.config.read_text())["versions"]
    outcome["metrics"] = folder.read_metrics()
    try:
        training.run(folder.read_config()[0], "parts", [Interruption()], verbose=0)
    except KeyboardInterrupt:
        outcome["resume"] = command("train", "--resume", "--output", "parts", "--verbose", "0")
    pairs = zip(weights("whole"), weights("parts"), strict=True)
    outcome["resumed_is_whole"] = all(np.array_equal(a, b) for a, b in pairs)

    outcome["evaluate"] = command("evaluate", "whole")
    outcome["predict"] = command("predict", "whole", "stripes.npz", "--format", "json")
    outcome["explain"] = command("explain", "whole")
    outcome["stability"] = command("stability", "whole", "--examples", "1")
    outcome["mirrored"] = command(*TRAIN, "--output", "mirrored", "--strategy", "mirrored")
    outcome["savedmodel"] = command("export", "whole")
    if outcome["savedmodel"][0] == 0:
        outcome["any_size"] = refusal(pde.models.ParabolicUNet((None, None, 1), 2, widths=(4, 4)))
        outcome["predict_savedmodel"] = command("predict", "whole/savedmodel", "stripes.npz", "--format", "json")
    outcome["litert"] = command("export", "whole", "--format", "litert")
    search = ["tune", "stripes.npz", *SMALL, "--epochs", "1", "--learning-rates", "0.1", "--trials", "1"]
    outcome["tune"] = command(*search, "--trial-epochs", "1", "--output", "search", "--verbose", "0")

    small = {"size": 8, "batch": 2, "repetitions": 1}
    of_block = {"block": "HamiltonianBlock", "backprop": "reversible", "steps": 3, "channels": 4, **small}
    depth = suite.Measurement("depth", "block", of_block)
    with unittest.mock.patch.object(suite, "measurements", lambda extent: [depth]):
        outcome["benchmark"] = command("benchmark", "--output", "benchmark")
    outcome["report"] = json.loads(pathlib.Path("benchmark", "benchmark.json").read_text())
    outcome["network"] = network.measure(steps=1, widths=[4], warmup=1, **small)
    outcome["precision"] = precision.measure("HamiltonianBlock", [5], [["reversible", None]], seeds=1)
    return outcome


def data_parallel():
    """Train on one device and on two; return the largest differences between the two, and from the start."""
    import jax

    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    x, y = stripes(32, 0)

    def trained(build, distribution, rate, epochs):
        keras.distribution.set_distribution(distribution)
        keras.utils.set_random_seed(0)
        model = build()
        start = model.get_weights()
        model.compile(keras.optimizers.SGD(rate, momentum=0.9), "sparse_categorical_crossentropy")
        model.fit(x, y, batch_size=16, epochs=epochs, shuffle=False, verbose=0)
        return start, model.get_weights()

    def gap(first, second):
        return max(float(np.abs(a - b).max()) for a, b in zip(first, second, strict=True))

    def network():
        return pde.models.HamiltonianCNN((8, 8, 1), 2, widths=(4,), steps=4, stored_steps=0)

    def block():
        first = [keras.Input((8, 8, 1)), pde.layers.Standardization(), keras.layers.Conv2D(4, 3)]
        last = [keras.layers.Flatten(), keras.layers.Dense(2, "softmax")]
        return keras.Sequential([*first, pde.layers.HamiltonianBlock(4, stored_steps=0), *last])

    outcome = {"devices": jax.device_count()}
    # Keras computes the statistics of a batch in float32 under JAX, and their rounding grows with every update.
    for build, rate, epochs in ((network, 0.005, 1), (block, 0.05, 3)):
        start, one = trained(build, None, rate, epochs)
        _, two = trained(build, keras.distribution.DataParallel(), rate, epochs)
        outcome[build.__name__] = gap(one, two), gap(one, start)
    return outcome


def error(function, *args):
    try:
        function(*args)
    except ImportError as reason:
        return str(reason)
    return None


def without_tensorflow():
    """Build, fit, save and load without TensorFlow, and ask for what needs it."""
    x, y = stripes(96, 0)
    keras.utils.set_random_seed(0)
    model = pde.models.HamiltonianCNN((8, 8, 1), 2, widths=(4,), steps=2)
    model.compile(keras.optimizers.SGD(0.1, momentum=0.9), "sparse_categorical_crossentropy", metrics=["accuracy"])
    history = model.fit(x, y, batch_size=16, epochs=4, verbose=0)
    model.save("model.keras")
    loaded = pde.models.loading.load_model("model.keras")
    write_stripes()
    shown = x[:2].astype("float32")
    return {
        "accuracy": history.history["accuracy"][-1],
        "loaded": float(np.abs(loaded.predict(x, verbose=0) - model.predict(x, verbose=0)).max()),
        "saliency": list(pde.explain.saliency(model, shown, 1).shape),
        "report": len(pde.stability.report(model, shown)),
        "data": error(pde.data.load, "digits"),
        "run": error(pde.training.run, pde.recipes.Recipe(), "run"),
        "strategy": error(pde.distribute.strategy, "none"),
        "tuning": error(lambda: pde.tuning),
        "predict": command("predict", "model.keras", "stripes.npz"),
        "train": command(*TRAIN, "--output", "whole"),
        "tune": command("tune", "stripes.npz", "--output", "search"),
    }


if __name__ == "__main__":
    os.chdir(FOLDER)
    print(json.dumps({"applications": applications, "data_parallel": data_parallel}.get(CASE, without_tensorflow)()))
