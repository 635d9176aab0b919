"""Export of trained networks for use without this package: SavedModel, LiteRT and ONNX."""

from __future__ import annotations

from keras_pdecnn.export.litert import litert
from keras_pdecnn.export.onnx import onnx
from keras_pdecnn.export.precisions import PRECISIONS
from keras_pdecnn.export.saved_model import savedmodel

FORMATS = {"savedmodel": savedmodel, "litert": litert, "onnx": onnx}
"""The functions that export, by the name of the format."""

__all__ = ["FORMATS", "PRECISIONS", "litert", "onnx", "savedmodel"]
