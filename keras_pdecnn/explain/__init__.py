"""What a network does: its dynamics, the parts of an example that speak for a class, and a page with both and more."""

import typing as _typing

from keras_pdecnn.explain.attribution import class_activation, saliency, smooth_grad
from keras_pdecnn.explain.dynamics import BlockDynamics, conserved_energy, follow

if _typing.TYPE_CHECKING:
    from keras_pdecnn.explain.sections import page

__all__ = [
    "BlockDynamics",
    "class_activation",
    "conserved_energy",
    "follow",
    "page",
    "saliency",
    "smooth_grad",
]


def __getattr__(name: str):
    # The page draws pictures, which need Matplotlib.
    if name == "page":
        from keras_pdecnn.explain.sections import page

        return page
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
