"""Start of the command `keras-pdecnn`: outside the package, to quieten TensorFlow before the package imports it."""

import contextlib
import os


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
    """Run the command line."""
    with quiet():
        from keras_pdecnn.cli import main as command
    command(prog_name="keras-pdecnn")


if __name__ == "__main__":
    main()
