"""Operations that keep the type of their arguments: under JAX and PyTorch, those of Keras round float64 to float32."""

from __future__ import annotations

import importlib

from keras import backend

from keras_pdecnn.ops.backend.names import check_backend

_module = importlib.import_module(f"keras_pdecnn.ops.backend.{check_backend(backend.backend())}.exact")
matmul = _module.matmul
maximum = _module.maximum
mean = _module.mean
minimum = _module.minimum
reshape_like = _module.reshape_like
sqrt = _module.sqrt
tensordot = _module.tensordot
where = _module.where
