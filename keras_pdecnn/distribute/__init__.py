"""Training on several devices and several machines."""

from keras_pdecnn.distribute.strategies import STRATEGIES, from_chief, in_cluster, resolve, strategy, worker

__all__ = ["STRATEGIES", "from_chief", "in_cluster", "resolve", "strategy", "worker"]
