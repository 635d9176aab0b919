"""Training by recipes: load, build, compile, fit, evaluate; and a whole run with its folder."""

from keras_pdecnn.training.building import build
from keras_pdecnn.training.evaluation import evaluate
from keras_pdecnn.training.execution import run
from keras_pdecnn.training.failures import DivergedError, Interrupted, StoppedError
from keras_pdecnn.training.fitting import compile, fit, learning_rate
from keras_pdecnn.training.inputs import load_data, load_like, spread
from keras_pdecnn.training.result import Result
from keras_pdecnn.training.statistics import EvaluationWeights, estimate_statistics

__all__ = [
    "DivergedError",
    "EvaluationWeights",
    "Interrupted",
    "Result",
    "StoppedError",
    "build",
    "compile",
    "estimate_statistics",
    "evaluate",
    "fit",
    "learning_rate",
    "load_data",
    "load_like",
    "run",
    "spread",
]
