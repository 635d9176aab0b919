"""`python -m keras_pdecnn` is the command `keras-pdecnn`; Python imports the package, and with it TensorFlow, first."""

from keras_pdecnn_command import main

if __name__ == "__main__":
    main()
