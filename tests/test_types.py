"""The types of the interface agree with each other."""

import importlib.util
import pathlib
import subprocess
import sys

import pytest


@pytest.mark.slow
def test_types():
    if importlib.util.find_spec("mypy") is None:
        pytest.skip("mypy is not installed: pip install '.[test]'")
    root = pathlib.Path(__file__).parent.parent
    command = [sys.executable, "-m", "mypy", "--no-error-summary"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=root, timeout=300, check=False)
    assert (done.returncode, done.stdout) == (0, "")
