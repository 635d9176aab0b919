"""Search of depth, width, step size and other hyperparameters of a network and its training, with Keras Tuner."""

from keras_pdecnn.tuning.hypermodel import PDEHyperModel
from keras_pdecnn.tuning.oracles import METHODS
from keras_pdecnn.tuning.search import Search, SearchFailedError, search
from keras_pdecnn.tuning.sizes import count_weights, training_memory

__all__ = ["METHODS", "PDEHyperModel", "Search", "SearchFailedError", "count_weights", "search", "training_memory"]
