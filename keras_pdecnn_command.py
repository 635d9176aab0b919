"""Start of the command `keras-pdecnn`: it answers without TensorFlow where it can, and quietens it where it cannot."""

import contextlib
import importlib.util
import os
import sys


@contextlib.contextmanager
def quiet():
    """Drop what TensorFlow says when it is first imported, and later all but errors that end the program."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # Its first lines heed no setting, so the standard error of native code is closed meanwhile.
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(nowhere)
        os.close(kept)


def main():
    """Run the command line.

    Importing the package takes TensorFlow's seconds. So it is entered into `sys.modules` without being run, which
    suffices to import its command line; it is run as soon as all options have been read and a command is to start.
    """
    spec = importlib.util.find_spec("keras_pdecnn")
    assert spec is not None and spec.loader is not None  # the package of this module
    package = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    run = spec.loader.exec_module

    def run_package():
        with quiet():
            run(package)

    from keras_pdecnn.cli import main as command

    command(prog_name="keras-pdecnn", obj=run_package)


if __name__ == "__main__":
    main()
