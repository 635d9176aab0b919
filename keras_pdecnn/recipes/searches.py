"""What a search may vary, and how: names that the command line knows before TensorFlow is imported."""

METHODS = ("random", "bayesian", "hyperband", "grid")
"""The ways to search."""

DEFAULT = ("architecture", "width", "steps", "step_size")
"""The hyperparameters that are searched unless told otherwise."""

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
"""The hyperparameters there are."""
