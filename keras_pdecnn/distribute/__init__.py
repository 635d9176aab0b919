"""Training on several devices and several machines."""

from keras_pdecnn.distribute.strategies import (
    STRATEGIES,
    check_backend,
    from_chief,
    in_cluster,
    resolve,
    strategy,
    worker,
)

__all__ = ["STRATEGIES", "check_backend", "from_chief", "in_cluster", "resolve", "strategy", "worker"]
