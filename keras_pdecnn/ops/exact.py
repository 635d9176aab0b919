"""Operations that keep float64: those of `keras.ops` round it to float32 under JAX and PyTorch."""

from __future__ import annotations

import importlib

from keras import backend

from keras_pdecnn.ops.backend.names import check_backend

_module = importlib.import_module(f"keras_pdecnn.ops.backend.{check_backend(backend.backend())}.exact")
matmul = _module.matmul
maximum = _module.maximum
mean = _module.mean
minimum = _module.minimum
sqrt = _module.sqrt
tensordot = _module.tensordot
where = _module.where
