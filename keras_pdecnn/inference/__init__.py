"""Using a trained network on files."""

from keras_pdecnn.inference.inference import (
    Classifier,
    Prediction,
    Unreadable,
    example_names,
    find,
    load,
    predict,
    read_examples,
)

__all__ = ["Classifier", "Prediction", "Unreadable", "example_names", "find", "load", "predict", "read_examples"]
