"""The precisions that each format of an export has."""

from __future__ import annotations

from keras_pdecnn.utils import arguments

PRECISIONS = {
    "savedmodel": ("float32", "bfloat16"),
    "litert": ("float32", "float16", "int8"),
    "onnx": ("float32",),
}
"""The values of `precision` by the name of the format."""


def check_precision(precision, kind: str) -> str:
    """Return the precision if the format has it; raise ValueError otherwise."""
    return arguments.check_choice("precision", precision, PRECISIONS[kind])
