"""The propagation of the backend that Keras runs on: the loop over the steps and its gradient."""

from __future__ import annotations

import importlib

from keras import backend

from keras_pdecnn.ops.backend.names import check_backend

_module = importlib.import_module(f"keras_pdecnn.ops.backend.{check_backend(backend.backend())}.propagation")
advance_plain = _module.advance_plain
propagate = _module.propagate
trajectory = _module.trajectory
undo = _module.undo
