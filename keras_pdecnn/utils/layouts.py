"""The names of the kinds of examples that an array may hold without an axis for their channels."""

LAYOUTS = {"signals": 1, "images": 2, "volumes": 3}
"""Number of space axes of each kind of example."""
