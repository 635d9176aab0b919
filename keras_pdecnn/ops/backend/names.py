"""The backends of Keras that the package works with."""

from __future__ import annotations

BACKENDS = ("tensorflow", "jax", "torch")


def check_backend(name: str) -> str:
    """Return the name of a backend; raise ImportError if the package does not work with it."""
    if name not in BACKENDS:
        raise ImportError(
            f"keras_pdecnn works with the backends {', '.join(BACKENDS)} of Keras: set KERAS_BACKEND to one of them. "
            f"Received: {name}"
        )
    return name
