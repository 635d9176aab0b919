"""Start of the command `keras-pdecnn`: outside the package, to quieten TensorFlow before the package imports it."""

import contextlib
import os


@contextlib.contextmanager
def _silent_stderr():
    """Drop what native code writes to the standard error; TensorFlow's first lines heed no setting."""
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
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with _silent_stderr():
        from keras_pdecnn.cli import main as command
    command(prog_name="keras-pdecnn")


if __name__ == "__main__":
    main()
