"""`python -m keras_pdecnn` is the command `keras-pdecnn`."""

from keras_pdecnn.cli import main

if __name__ == "__main__":
    main(prog_name="keras-pdecnn")
