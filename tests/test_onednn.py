"""oneDNN is on, and who imports TensorFlow too early for that is told so."""

import os
import platform
import subprocess
import sys
import warnings

import pytest
from tensorflow.python.util import _pywrap_util_port

from keras_pdecnn.utils import onednn

ON = "from tensorflow.python.util import _pywrap_util_port; print(_pywrap_util_port.IsMklEnabled())"


@pytest.fixture
def off(monkeypatch):
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(_pywrap_util_port, "IsMklEnabled", lambda: False)


def test_an_early_import_of_tensorflow_is_told(off):
    with pytest.warns(UserWarning, match=r"Import keras_pdecnn before keras and tensorflow, or set TF_ENABLE_ONEDNN"):
        onednn.warn_if_off(too_late=True)


@pytest.mark.parametrize("too_late", [False, True])
def test_no_warning_without_a_reason(monkeypatch, off, too_late):
    if too_late:  # oneDNN is on, or there is none for this processor
        monkeypatch.setattr(_pywrap_util_port, "IsMklEnabled", lambda: True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        onednn.warn_if_off(too_late)
        monkeypatch.setattr(_pywrap_util_port, "IsMklEnabled", lambda: False)
        monkeypatch.setattr(platform, "machine", lambda: "aarch64")
        onednn.warn_if_off(too_late)


@pytest.mark.slow
@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="oneDNN is on with other processors anyway")
def test_the_package_turns_it_on():
    environment = {name: value for name, value in os.environ.items() if name != "TF_ENABLE_ONEDNN_OPTS"}
    command = [sys.executable, "-W", "error::UserWarning", "-c", f"import keras_pdecnn; {ON}"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.split() == ["True"]
