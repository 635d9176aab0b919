"""The runtime of the backend that Keras runs on: its devices and their memory, determinism, compiled gradients."""

from __future__ import annotations

import importlib

from keras import backend

from keras_pdecnn.ops.backend.names import check_backend

_module = importlib.import_module(f"keras_pdecnn.ops.backend.{check_backend(backend.backend())}.runtime")
gpus = _module.gpus
has_accelerator = _module.has_accelerator
layer_gradient = _module.layer_gradient
make_deterministic = _module.make_deterministic
peak_memory = _module.peak_memory
reset_peak_memory = _module.reset_peak_memory
wait = _module.wait
