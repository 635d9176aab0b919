"""Training by recipes: load, build, compile, fit, evaluate; and a whole run with its folder."""

from keras_pdecnn.recipes.levels import Level, default_levels
from keras_pdecnn.training.building import build
from keras_pdecnn.training.evaluation import evaluate, evaluate_part, evaluate_task
from keras_pdecnn.training.execution import run
from keras_pdecnn.training.failures import DivergedError, Interrupted, StoppedError
from keras_pdecnn.training.fitting import compile, fit, learning_rate
from keras_pdecnn.training.inputs import load_data, load_like, spread
from keras_pdecnn.training.levels import fit_levels, shrink
from keras_pdecnn.training.result import Result
from keras_pdecnn.training.statistics import EvaluationWeights, estimate_statistics

__all__ = [
    "DivergedError",
    "EvaluationWeights",
    "Interrupted",
    "Level",
    "Result",
    "StoppedError",
    "build",
    "compile",
    "default_levels",
    "estimate_statistics",
    "evaluate",
    "evaluate_part",
    "evaluate_task",
    "fit",
    "fit_levels",
    "learning_rate",
    "load_data",
    "load_like",
    "run",
    "shrink",
    "spread",
]
