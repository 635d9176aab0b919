"""The names of what a search may vary, and of the methods. The command line reads them before it imports TensorFlow."""

METHODS = ("random", "bayesian", "hyperband", "grid")
"""The search methods."""

DEFAULT = ("architecture", "width", "steps", "step_size")
"""The hyperparameters that are searched by default."""

NAMES = (
    "architecture",
    "blocks",
    "width",
    "growth",
    "steps",
    "step_size",
    "activation",
    "time_smoothness",
    "weight_decay",
    "learning_rate",
    "batch_size",
)
"""All hyperparameters."""
