"""Prediction: a trained network is loaded, and applied to the examples of files."""

from keras_pdecnn.inference.classifier import Classifier, load
from keras_pdecnn.inference.examples import example_names, read_examples
from keras_pdecnn.inference.files import find
from keras_pdecnn.inference.pictures import Pictures
from keras_pdecnn.inference.prediction import Outputs, Prediction, Unreadable, predict

__all__ = [
    "Classifier",
    "Outputs",
    "Pictures",
    "Prediction",
    "Unreadable",
    "example_names",
    "find",
    "load",
    "predict",
    "read_examples",
]
