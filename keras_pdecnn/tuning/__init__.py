"""Search of depth, width, step size and other hyperparameters of a network and its training, with Keras Tuner."""

from keras_pdecnn.utils import optional

optional.load("keras_tuner", "pde.tuning", "keras-tuner")

from keras_pdecnn.tuning.hypermodel import PDEHyperModel  # noqa: E402
from keras_pdecnn.tuning.oracles import METHODS  # noqa: E402
from keras_pdecnn.tuning.search import Search, SearchFailedError, search  # noqa: E402
from keras_pdecnn.tuning.sizes import count_multiply_adds, count_weights, training_memory  # noqa: E402

__all__ = [
    "METHODS",
    "PDEHyperModel",
    "Search",
    "SearchFailedError",
    "count_multiply_adds",
    "count_weights",
    "search",
    "training_memory",
]
