"""Makes the files of this folder, with version 0.1.0 of the package and no other; README.md says how and what."""

import json
import multiprocessing
import os
import pathlib
import shutil
import signal
import tempfile

import click.testing
import keras
import numpy as np
import tensorflow as tf
from helpers import rounding

import keras_pdecnn as pde
from keras_pdecnn import cli
from keras_pdecnn.recipes import Recipe
from keras_pdecnn.runs import RunFolder

HERE = pathlib.Path(__file__).parent

# As the command line does; without it, Keras compiles with XLA, which rounds in another way.
tf.config.experimental.enable_op_determinism()

NETWORKS = {
    "hamiltonian": {"architecture": "hamiltonian", "widths": (4, 8), "weight_decay": 1e-3},
    "parabolic": {
        "architecture": "parabolic",
        "step_size": "auto",
        "normalization": "scale",
        "padding": "periodic",
        "backprop": "checkpointed",
    },
    "second_order": {"architecture": "second_order", "step_size": 0.5, "normalization": "shrinkage"},
    "residual": {"architecture": "residual", "normalization": None, "activation": "tanh"},
    "provable_hamiltonian": {"architecture": "hamiltonian", "provable": True},
    "provable_parabolic": {
        "architecture": "parabolic",
        "widths": (4, 8),
        "steps": 1,
        "provable": True,
        "normalization": "scale",
    },
    "provable_second_order": {
        "architecture": "second_order",
        "provable": True,
        "normalization": "shrinkage",
        "lipschitz": 1.0,
    },
    "time_basis": {
        "architecture": "hamiltonian",
        "steps": 4,
        "time_basis": "linear",
        "basis_size": 2,
        "time_smoothness": 1e-2,
        "weight_decay": 1e-3,
        "box": 0.25,
    },
    "mixed_bfloat16": {"architecture": "hamiltonian"},
}

RUN = Recipe(widths=4, steps=2, batch_size=128, flip=True, learning_rates=(0.05, 0.01), epochs=(2, 1), seed=3)
COMMANDS = {
    "interrupted_run": "train --resume --verbose 0",
    "finished_run": "train digits --loss regression --architecture second-order --widths 4 --time-basis cosine "
    "--basis-size 2 --batch-size 128 --epochs 3 --learning-rates 0.05 --verbose 0",
    "interrupted_search": "tune digits --widths 4 --batch-size 64 --epochs 2 --learning-rates 0.05 "
    "--search steps=1:2 --search weight_decay --trial-epochs 1 --trials 3 --verbose 0",
}


def own_model():
    """Return a model of the layers that the four networks do without, and whose initializer is named."""
    inputs = keras.Input((8, 8, 1))
    y = pde.layers.Connector(4)(pde.layers.Standardization()(inputs))
    y = pde.layers.TVNormalization()(y)
    y = pde.layers.SymmetricConv(kernel_initializer=pde.initializers.ConstantInTime("he_uniform"))(y)
    y = keras.layers.GlobalAveragePooling2D()(y)
    return keras.Model(inputs, keras.layers.Dense(10, activation="softmax")(y))


def network(name, settings):
    if name == "own":
        return own_model()
    keras.config.set_dtype_policy("mixed_bfloat16" if name == "mixed_bfloat16" else "float32")
    build = pde.models.ARCHITECTURES[settings["architecture"]]
    settings = {"widths": (4,), "steps": 2, **settings}
    model = build((8, 8, 1), 10, **{key: value for key, value in settings.items() if key != "architecture"})
    keras.config.set_dtype_policy("float32")
    return model


def make_networks(x, y):
    """Write every network after a step of training."""
    (HERE / "networks").mkdir()
    for name, settings in {**NETWORKS, "own": {}}.items():
        keras.utils.set_random_seed(2019)
        model = network(name, settings)
        model.compile(keras.optimizers.SGD(0.05, momentum=0.9), "sparse_categorical_crossentropy", metrics=["accuracy"])
        model.train_on_batch(x, y)
        model.save(HERE / "networks" / f"{name}.keras")


def note_outputs(figures):
    """Note what the saved networks predict and certify, and what their weights are after another step."""
    for path in [*HERE.glob("networks/*.keras"), HERE / "finished_run" / "model.keras"]:
        model = keras.models.load_model(path)
        name = path.relative_to(HERE).as_posix()
        figures[f"{name}/predictions"] = model.predict(figures["x"], verbose=0)
        if "provable" in name:
            figures[f"{name}/certified_radius"] = pde.stability.certified_radius(model, figures["x"])
        model.train_on_batch(figures["x_next"], figures["y_next"])
        figures[f"{name}/next_weights"] = np.concatenate([weight.ravel() for weight in model.get_weights()])


def call(name, folder):
    """Run a command in this process."""
    done = click.testing.CliRunner().invoke(cli.main, [*COMMANDS[name].split(), "--output", str(folder)])
    assert done.exit_code == 0, done.output


def killed(target, *arguments):
    """Run a function in another process, which it kills."""
    process = multiprocessing.get_context("spawn").Process(target=target, args=arguments)
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL


class Kill(keras.callbacks.Callback):
    """Kills the process in the middle of the third epoch."""

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if (self.epoch, batch) == (2, 3):
            os.kill(os.getpid(), signal.SIGKILL)


def interrupted_run(folder):
    pde.training.run(RUN, folder, [Kill()], verbose=0)


def interrupted_search(folder):
    run_trial = pde.tuning.Search.run_trial

    def run(self, trial, *args, **kwargs):
        if trial.trial_id == "1":
            os.kill(os.getpid(), signal.SIGKILL)
        return run_trial(self, trial, *args, **kwargs)

    pde.tuning.Search.run_trial = run
    call("interrupted_search", folder)


def make_runs(figures):
    """Write a run that was killed, with what it ends with when it is resumed, and a finished run."""
    folder = HERE / "interrupted_run"
    killed(interrupted_run, folder)
    shutil.rmtree(folder / "logs")
    with tempfile.TemporaryDirectory() as name:
        resumed = shutil.copytree(folder, pathlib.Path(name, "run"))
        call("interrupted_run", resumed)
        figures |= described(RunFolder(resumed))

    folder = HERE / "finished_run"
    call("finished_run", folder)
    shutil.rmtree(folder / "logs")
    for picture in folder.glob("*.png"):
        picture.unlink()


def described(run):
    """Return the weights, the state of the optimiser and the history of a run."""
    model, history = run.load_model(), run.read_history()
    found = {f"interrupted_run/weights/{i:02d}": weight for i, weight in enumerate(model.get_weights())}
    found |= {
        f"interrupted_run/optimizer/{i:02d}": keras.ops.convert_to_numpy(v)
        for i, v in enumerate(model.optimizer.variables)
    }
    return found | {f"interrupted_run/history/{key}": np.array(values) for key, values in history.items()}


def make_search():
    """Write a search that was killed as its second trial began, with what it finds when it goes on."""
    folder = HERE / "interrupted_search"
    killed(interrupted_search, folder)
    for path in folder.glob("trial_*/*"):
        if path.name != "trial.json":
            path.unlink()  # the weights of the trials, which only Hyperband reads again
    with tempfile.TemporaryDirectory() as name:
        resumed = shutil.copytree(folder, pathlib.Path(name, "search"))
        call("interrupted_search", resumed)
        trials = [json.loads(path.read_text()) for path in sorted(resumed.glob("trial_*/trial.json"))]
        (best,) = resumed.glob("best-*")
        return {
            "values": [trial["hyperparameters"]["values"] for trial in trials],
            "scores": [trial["score"] for trial in trials],
            "accuracy": RunFolder(best).read_metrics()["accuracy"],
        }


def main():
    assert pde.__version__ == "0.1.0", pde.__version__
    x, y = (np.concatenate(parts) for parts in zip(*pde.data.load("digits").test, strict=True))
    x = x.astype("float32")
    make_networks(x[8:40], y[8:40])
    figures = {"x": x[:8], "x_next": x[40:72], "y_next": y[40:72]}
    make_runs(figures)
    note_outputs(figures)
    np.savez_compressed(HERE / "figures.npz", **figures)
    figures = {"fingerprint": rounding.fingerprint(), "commands": COMMANDS, "search": make_search()}
    (HERE / "figures.json").write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
