"""The primitives of the backend that Keras runs on: operations of tensors and their gradients."""

from __future__ import annotations

import importlib

from keras import backend

from keras_pdecnn.ops.backend.names import check_backend

_module = importlib.import_module(f"keras_pdecnn.ops.backend.{check_backend(backend.backend())}.primitives")
activated = _module.activated
activation = _module.activation
add = _module.add
after = _module.after
compute_and_normalize = _module.compute_and_normalize
concrete = _module.concrete
convolve = _module.convolve
delayed = _module.delayed
float32_product_roundoff = _module.float32_product_roundoff
for_loss = _module.for_loss
in_float64 = _module.in_float64
jit = _module.jit
jvp = _module.jvp
kernel_gradient = _module.kernel_gradient
normalize_batch = _module.normalize_batch
tv_normalize = _module.tv_normalize
vjp = _module.vjp
