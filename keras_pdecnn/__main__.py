"""`python -m keras_pdecnn` is the command `keras-pdecnn`."""

from keras_pdecnn_command import main

if __name__ == "__main__":
    main()
