"""The command `keras-pdecnn`: it answers without Keras where it can, and silences TensorFlow's start elsewhere."""

import importlib.util
import sys


def main():
    """Run the command line.

    Importing the package takes as many seconds as importing Keras and its backend. The command line is therefore
    imported without it: the package is entered into `sys.modules` and executed only when all options have been read and
    a command is about to start. If the package has been imported before (`python -m keras_pdecnn`), there is nothing to
    postpone.
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
        from keras_pdecnn.utils.streams import quiet

        with quiet():
            execute(package)

    return import_package


if __name__ == "__main__":
    main()
