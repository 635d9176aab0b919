"""The command `keras-pdecnn`: it answers without TensorFlow where it can, and silences TensorFlow's start elsewhere."""

import contextlib
import importlib.util
import os
import sys


@contextlib.contextmanager
def quiet():
    """Suppress what TensorFlow prints while it is imported, and afterwards everything but fatal errors."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # No setting suppresses TensorFlow's first lines, so the standard error of native code goes nowhere meanwhile.
    standard_error = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(standard_error, 2)
        os.close(nowhere)
        os.close(standard_error)


def main():
    """Run the command line.

    Importing the package takes as many seconds as importing TensorFlow. The command line is therefore imported without
    it: the package is entered into `sys.modules` and executed only when all options have been read and a command is
    about to start. If the package has been imported before (`python -m keras_pdecnn`), there is nothing to postpone.
    """
    import_package = None if "keras_pdecnn" in sys.modules else _postpone_package()

    from keras_pdecnn.cli import main as command

    command(prog_name="keras-pdecnn", obj=import_package)


def _postpone_package():
    """Enter the package into `sys.modules` and return the function that executes it."""
    spec = importlib.util.find_spec("keras_pdecnn")
    assert spec is not None and spec.loader is not None  # the package of this module
    package = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    execute = spec.loader.exec_module

    def import_package():
        with quiet():
            execute(package)

    return import_package


if __name__ == "__main__":
    main()
