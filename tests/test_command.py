"""The start of the command line and of the package: what they import, when, and how long it takes."""

import json
import os
import runpy
import subprocess
import sys

import pytest

from keras_pdecnn import cli, tuning
from keras_pdecnn.recipes import searches

ANSWERS = """
import contextlib, io, json, sys
from keras_pdecnn_command import main
answers = []
for arguments in json.loads(sys.argv[1]):
    sys.argv[1:] = arguments
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
        try:
            main()
        except SystemExit as stop:
            code = stop.code
    answers.append([code, out.getvalue(), err.getvalue()])
print(json.dumps([answers, sorted({"tensorflow", "keras"} & set(sys.modules))]))
"""

IMPORT = """
import time
import keras, tensorflow
start = time.thread_time()
import keras_pdecnn
print(time.thread_time() - start)
registered = keras.saving.get_custom_objects()
print(all(f"keras_pdecnn>{name}" in registered for name in (
    "HamiltonianBlock", "ParabolicBlock", "SecondOrderBlock", "ResidualBlock", "SymmetricConv", "TVNormalization",
    "Connector", "BatchNormalization", "Standardization", "PDEModel", "TimeSmoothness", "Box", "ConstantInTime")))
"""


def python(code, *arguments, environment=os.environ):
    """Run code in a fresh process and return what it prints."""
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True, env=environment)
    return done.stdout


def test_help_and_mistakes_are_answered_before_tensorflow_is_imported():
    lines = [["--help"], ["--version"], *([name, "--help"] for name in cli.main.commands)]
    wrong = [["trian"], ["train", "--steps", "x"], ["tune", "--method", "luck"], ["predict"]]
    wrong += [[name, "--wdith", "4"] for name in cli.main.commands]
    wrong += [["train", "photographs"], ["train", __file__], ["train", "--widths", "4", "--widths", "8"]]
    wrong += [["predict", os.path.dirname(__file__), "nowhere.png"]]
    wrong += [["train", "nowhere.npz"], ["tune", "./nowhere"], ["predict", "nowhere", "x.png"], ["evaluate", "nowhere"]]
    wrong += [["export", "nowhere"], ["explain", "nowhere"], ["stability", "nowhere"]]
    answers, imported = json.loads(python(ANSWERS, json.dumps([*lines, *wrong])))
    assert imported == []
    for code, out, err in answers[: len(lines)]:
        assert (code, err) == (0, "")
        assert "Usage: keras-pdecnn" in out or "version" in out
    for code, out, err in answers[len(lines) :]:
        assert (code, out) == (2, "")
        assert "Error: " in err or err == "nowhere.png: The file does not exist. Received: 'nowhere.png'\n"
        assert "Traceback" not in err


@pytest.mark.parametrize(("options", "code"), [(["--help"], 0), (["train", "--wdith", "4"], 2)])
def test_module_is_the_command(options, code, monkeypatch, capsys):
    """`python -m keras_pdecnn` is what runpy does here."""
    monkeypatch.setattr(sys, "argv", ["keras_pdecnn", *options])
    with pytest.raises(SystemExit) as stop:
        runpy.run_module("keras_pdecnn", run_name="__main__")
    assert stop.value.code == code
    out, err = capsys.readouterr()
    if code == 0:
        assert out.startswith("Usage: keras-pdecnn")
    else:
        assert err.startswith("Error: No such option '--wdith'")
        assert err.endswith(" Try 'keras-pdecnn train --help' for help.\n")
    assert (err == "") is (code == 0)


def test_names_of_the_command_line_are_those_of_the_search():
    assert tuple(tuning.METHODS) == searches.METHODS


@pytest.mark.slow
def test_importing_the_package_is_quick_and_registers_everything():
    # Where bytecode is not written, most of the time is that of compiling, as never after an installation.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    python(IMPORT, environment=environment)
    seconds, registered = python(IMPORT, environment=environment).split()
    assert float(seconds) < 0.3  # beyond TensorFlow and Keras, which take seconds
    assert registered == "True"
